/** Checks how a media playlist is answered: headers, methods, conditions, delivery directives. */
// draft-pantos-hls-rfc8216bis-22 6.2.5, B.1; RFC 9110 (9, 13, 14)
import { readHlsDocument, type HlsDocument, tagOf } from "./hls-document.ts";
import { type Answer, type HlsProbe, maxAgeOf, textOf } from "./hls-probe.ts";
import { checkMediaText, partsOf, readMedia, secondsOf } from "./hls-rules.ts";

/** An answer at once, on a machine that has other things to do too. */
const AT_ONCE_MS = 1_000;
const PLAYLIST_TYPE = "application/vnd.apple.mpegurl";

/** Headers of plain playlists, compressed and not; conditions; methods. */
export async function checkPlaylistHeaders(probe: HlsProbe, url: string): Promise<void> {
  const plain = await probe.ask(url);
  const packed = await probe.ask(url, { headers: { "accept-encoding": "gzip" } });
  for (const { status, headers } of [plain, packed]) {
    probe.expect(46, status === 200, `${url} is ${status}`);
    probe.expect(
      2,
      headers.get("content-type") === PLAYLIST_TYPE,
      `${url} is ${headers.get("content-type")}`,
    );
    probe.expect(
      49,
      /\baccept-encoding\b/i.test(headers.get("vary") ?? ""),
      `${url} has no Vary: Accept-Encoding`,
    );
    probe.expect(50, /^"[^"]+"$/.test(headers.get("etag") ?? ""), `${url} has no strong ETag`);
  }
  probe.expect(49, plain.headers.get("content-encoding") === null, `${url} is compressed unasked`);
  const isPacked = packed.headers.get("content-encoding") === "gzip";
  probe.expect(49, isPacked, `${url} is not compressed for who takes gzip`);
  if (isPacked) {
    const text = new TextDecoder().decode(Bun.gunzipSync(packed.bytes));
    probe.expect(49, text.startsWith("#EXTM3U"), `${url} is no playlist when decompressed`);
    const differ = packed.headers.get("etag") !== plain.headers.get("etag");
    probe.expect(50, differ, `${url} has one ETag for two representations`);
  }
  const { targetSeconds } = readMedia(readHlsDocument(textOf(plain)));
  const seconds = Math.max(1, Math.floor(targetSeconds / 2));
  probe.expect(
    48,
    maxAgeOf(plain) === seconds,
    `${url} may be kept for ${maxAgeOf(plain)} s, not ${seconds}`,
  );
  const ranged = await probe.ask(url, { headers: { range: "bytes=0-" } });
  probe.expect(52, ranged.status === 200, `${url} with Range is ${ranged.status}`);
  await checkCondition(probe, url);
  await checkMethods(probe, url);
}

/** A playlist changes while one asks: one of several tries meets the same version twice. */
async function checkCondition(probe: HlsProbe, url: string): Promise<void> {
  for (let tries = 0; tries < 10; tries++) {
    const etag = (await probe.ask(url)).headers.get("etag") ?? "";
    if ((await probe.ask(url, { headers: { "if-none-match": etag } })).status === 304) return;
  }
  probe.expect(50, false, `${url} is never 304`);
}

async function checkMethods(probe: HlsProbe, url: string): Promise<void> {
  const { firstMsn, document } = readMedia(readHlsDocument(textOf(await probe.ask(url))));
  const ahead = `${url}?_HLS_msn=${firstMsn + document.segments.length}`;
  const head = await probe.ask(ahead, { method: "HEAD" });
  probe.expect(51, head.status === 200 && head.bytes.length === 0, `HEAD of ${ahead} is ${head.status}`);
  probe.expect(51, head.tookMs < AT_ONCE_MS, `HEAD of ${ahead} took ${head.tookMs} ms`);
  probe.expect(
    51,
    head.headers.get("content-type") === PLAYLIST_TYPE,
    `HEAD of ${ahead} has other headers than GET`,
  );
  const options = await probe.ask(url, { method: "OPTIONS" });
  probe.expect(51, options.status === 204, `OPTIONS of ${url} is ${options.status}`);
  for (const method of ["POST", "PUT", "DELETE"]) {
    const { status, headers } = await probe.ask(url, { method });
    probe.expect(51, status === 405, `${method} of ${url} is ${status}`);
    probe.expect(
      51,
      (headers.get("allow") ?? "").includes("GET"),
      `${method} of ${url} does not say what it allows`,
    );
  }
}

/** What may be asked ahead, and what may not. */
export async function checkDirectives(probe: HlsProbe, url: string): Promise<void> {
  const ask = (query: string): Promise<Answer> => probe.ask(`${url}?${query}`);
  const document = readHlsDocument(textOf(await probe.ask(url)));
  const { targetSeconds, partTargetSeconds, control, firstMsn, isEnded } = readMedia(document);
  const last = lastWhole(document, firstMsn);
  if (isEnded) {
    // Nothing will follow, so directives ask for nothing (6.2.5).
    const { status } = await ask(`_HLS_msn=${last + 6}`);
    probe.expect(18, status === 200, `_HLS_msn=${last + 6} of a stream that has ended is ${status}`);
    return;
  }
  if (control.get("CAN-BLOCK-RELOAD") !== "YES") return;
  for (const query of [
    `_HLS_msn=${last}`,
    "_HLS_msn=0",
    `_HLS_msn=${last}&_HLS_part=0`,
    `_HLS_msn=${last}&_HLS_new=-1`,
  ]) {
    const { status, tookMs } = await ask(query);
    probe.expect(30, status === 200, `${query} is ${status}`);
    probe.expect(30, tookMs < AT_ONCE_MS, `${query} took ${tookMs} ms`);
  }
  const held = await ask(`_HLS_msn=${last}`);
  probe.expect(
    48,
    maxAgeOf(held) === 6 * targetSeconds,
    `a blocking reload may be kept for ${maxAgeOf(held)} s`,
  );
  // Time passes between two requests: what was too far is soon less so.
  const far = [
    `_HLS_msn=${last + 6}`,
    ...(partTargetSeconds === undefined ? [] : [`_HLS_msn=${last + 6}&_HLS_part=1`]),
  ];
  const malformed = [
    "_HLS_part=0",
    "_HLS_msn=x",
    "_HLS_msn=-1",
    "_HLS_msn=1.5",
    `_HLS_msn=${last}&_HLS_msn=${last}`,
  ];
  for (const query of [...far, ...malformed]) {
    const { status, tookMs } = await ask(query);
    probe.expect(33, status === 400, `${query} is ${status}`);
    probe.expect(33, tookMs < AT_ONCE_MS, `${query} took ${tookMs} ms`);
  }
  for (const skip of ["YES", "v2", "unknown"]) await checkDelta(probe, url, skip);
  await checkHolds(probe, url);
}

/** A delta update is the whole playlist without what lies beyond the boundary. The whole one is a right answer too. */
async function checkDelta(probe: HlsProbe, url: string, skip: string): Promise<void> {
  const delta = readHlsDocument(textOf(await probe.ask(`${url}?_HLS_skip=${skip}`)));
  const full = readHlsDocument(textOf(await probe.ask(url)));
  if (tagOf(delta.header, "SKIP") === undefined) return;
  const boundary = readMedia(full).control.get("CAN-SKIP-UNTIL");
  const isAllowed = boundary !== undefined && skip !== "unknown";
  probe.expect(39, isAllowed, `_HLS_skip=${skip} skips, which was not offered`);
  probe.add(checkMediaText(delta), `${url}?_HLS_skip=${skip}`);
  const seconds = delta.segments.map((block) => secondsOf(block) ?? 0);
  const left = seconds.reduce((sum, one) => sum + one, 0);
  const isExact = left >= Number(boundary) - 1e-3 && left - (seconds[0] ?? 0) < Number(boundary);
  probe.expect(39, isExact, `${left} s are left by _HLS_skip=${skip}, with a boundary of ${boundary} s`);
  // Another version may have come in between; it lists what the one before did.
  const known = new Set(full.segments.map(({ uri }) => uri));
  const isKnown = delta.segments.every(({ uri }) => uri === undefined || known.has(uri));
  probe.expect(39, isKnown, `_HLS_skip=${skip} lists what the whole playlist does not`);
}

/** The next segment is waited for, and the answer has it: never the playlist as it was. */
async function checkHolds(probe: HlsProbe, url: string): Promise<void> {
  const before = readHlsDocument(textOf(await probe.ask(url)));
  const { firstMsn, partTargetSeconds } = readMedia(before);
  const wanted = lastWhole(before, firstMsn) + 2;
  const { status, ...answer } = await probe.ask(`${url}?_HLS_msn=${wanted}`);
  probe.expect(29, status === 200, `_HLS_msn=${wanted}, two after the last whole segment, is ${status}`);
  if (status !== 200) return;
  const after = readHlsDocument(textOf({ status, ...answer }));
  const reached = readMedia(after).firstMsn + after.segments.length - 1;
  probe.expect(29, reached >= wanted, `_HLS_msn=${wanted} was answered with ${reached} as the last`);
  const isWhole = partTargetSeconds !== undefined || lastWhole(after, readMedia(after).firstMsn) >= wanted;
  probe.expect(32, isWhole, `_HLS_msn=${wanted} was answered before the segment was whole`);
}

/** Number of the last segment that has its EXTINF. */
export function lastWhole({ segments }: HlsDocument, firstMsn: number): number {
  return firstMsn + segments.filter(({ uri }) => uri !== undefined).length - 1;
}

/** The query that the next version of a playlist answers. */
export function nextDirectives(document: HlsDocument): string {
  const { firstMsn, partTargetSeconds } = readMedia(document);
  const msn = `_HLS_msn=${lastWhole(document, firstMsn) + 1}`;
  if (partTargetSeconds === undefined) return msn;
  const open = document.segments.at(-1);
  const parts = open === undefined || open.uri !== undefined ? 0 : partsOf(open).length;
  return `${msn}&_HLS_part=${parts}`;
}
