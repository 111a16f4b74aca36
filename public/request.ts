/** Small requests beside the video: what they answer, without exceptions for what is expected to fail. */

/** A request without an answer after this long counts as unanswered. Milliseconds. */
const REQUEST_MS_MAX = 5_000;

/** HTTP status of a URL; 0 where no answer came in time. */
export async function requestStatus(url: string): Promise<number> {
  const response = await request(url);
  await response?.body?.cancel();
  return response?.status ?? 0;
}

/** Text of a URL; `undefined` where no good answer came in time. */
export async function requestText(url: string): Promise<string | undefined> {
  const response = await request(url);
  if (response?.ok !== true) return undefined;
  try {
    return await response.text();
  } catch {
    return undefined;
  }
}

async function request(url: string): Promise<Response | undefined> {
  try {
    return await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(REQUEST_MS_MAX) });
  } catch {
    return undefined;
  }
}
