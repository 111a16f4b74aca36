/** What an upstream is asked by us alone, to know how it is: whether it is ready, and whether it answers at all. */
import type { Dispatcher, Pool } from "undici/index.js";
import type { Clock } from "#common/clock.ts";

export const READINESS_PATH = "/readyz";

/** The header that says who we are. Origins answer it with playlists whose URIs are relative. */
export const OWN_HEADERS = { "cdn-loop": "spillway", "accept-encoding": "identity" };

/** So much of an answer is read: of one that is no Spillway node it may be a page. */
const BYTES_MAX = 16 * 1024;

export interface Probe {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly path: string;
  /** Longest time until the whole answer is there. */
  readonly answerMsMax: number;
}

export interface ProbeAnswer {
  readonly status: number;
  /** The begin of its body. */
  readonly words: string;
}

/** No answer began in time. */
export class ProbeLateError extends Error {
  override readonly name = "ProbeLateError";
}

/** Asks and reads the begin of the answer. Rejects with {@link ProbeLateError}, or with what went wrong. */
export async function askProbe({ pool, clock, path, answerMsMax }: Probe): Promise<ProbeAnswer> {
  const abort = new AbortController();
  const late = (): void => abort.abort(new ProbeLateError(`No answer within ${answerMsMax} ms`));
  const cancel = clock.after(answerMsMax, late);
  try {
    const { signal } = abort;
    const { statusCode, body } = await pool.request({ method: "GET", path, headers: OWN_HEADERS, signal });
    return { status: statusCode, words: await readBegin(body) };
  } finally {
    cancel();
  }
}

/** Whether whoever answers so can serve. One that is no Spillway node has no such path: that it answers is enough. */
export function isReadyStatus(status: number): boolean {
  return status < 500;
}

/** The begin of a body. Reads on to its end, which keeps the connection, unless that is far. */
async function readBegin(body: Dispatcher.ResponseData["body"]): Promise<string> {
  const decoder = new TextDecoder();
  let words = "";
  try {
    for await (const chunk of body) {
      // undici hands out Buffers, its stream type says any.
      words += decoder.decode(chunk as Uint8Array, { stream: true });
      if (words.length > BYTES_MAX) break;
    }
  } catch {
    // The head has come, which is what a probe wants to know.
  }
  return words;
}
