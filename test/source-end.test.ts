/** The end of a finite source, as players and viewers see it; and one of our own nodes as a source. */
import { createServer, type Server } from "node:net";
import { expect, test } from "bun:test";
import { checkMediaText } from "../bench/hls-rules.ts";
import { readHlsDocument } from "../bench/hls-document.ts";
import { hintIn } from "../origin/origin-fixture.ts";
import { TsInspector } from "#common/formats/fixtures/mpegts-reader.ts";
import { Spillway } from "./harness.ts";
import { coding, makeStream, picture, TestOrigin, until } from "./source-fixture.ts";

/** Answers with a length, and sends only the first half until told. Bun itself sends streams in chunks. */
class LengthServer implements AsyncDisposable {
  readonly #server: Server;
  #rest: (() => void) | undefined;

  constructor(bytes: Uint8Array, half: number) {
    this.#server = createServer((socket) => {
      socket.once("data", () => {
        socket.write(
          `HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nContent-Length: ${bytes.length}\r\n\r\n`,
        );
        socket.write(bytes.subarray(0, half));
        this.#rest = () => void socket.end(bytes.subarray(half));
      });
    }).listen(0, "127.0.0.1");
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  sendRest(): void {
    this.#rest?.();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

test("18: a finite source ends the stream: ENDLIST, no hint, nobody waits", async () => {
  const stream = makeStream([...picture("25"), "-t", "7", ...coding(25)]);
  const half = Math.floor(stream.length / 2);
  await using server = new LengthServer(stream, half);
  await using origin = await TestOrigin.open(`http://127.0.0.1:${server.port}/movie.ts`);
  await until("ready", async () => (await origin.readiness()) === "ready");
  let before = "";
  await until("the end of the first half", async () => {
    const text = await origin.text("source/index.m3u8");
    const isSame = text === before;
    before = text;
    if (!isSame) await Bun.sleep(700);
    return isSame;
  });
  const hint = hintIn(before);
  const last = /.*\/?-(\d+)\.\d+\.m4s/.exec(hint)?.[1] ?? "";
  const part = Number(/\.(\d+)\.m4s/.exec(hint)?.[1]);
  const held = fetch(origin.live(`source/index.m3u8?_HLS_msn=${Number(last) + 1}&_HLS_part=${part}`));
  const heldTs = fetch(origin.live(`source/ts.m3u8?_HLS_msn=${Number(last)}`));
  const viewer = fetch(origin.live("stream.ts")).then((answer) => answer.bytes());
  server.sendRest();
  await until("the end", async () => (await origin.text("source/index.m3u8")).includes("#EXT-X-ENDLIST"));
  const text = await origin.text("source/index.m3u8");
  expect(text).not.toContain("PRELOAD-HINT");
  expect(text).not.toContain("RENDITION-REPORT");
  expect(text.trimEnd().split("\n").at(-1)).toBe("#EXT-X-ENDLIST");
  expect(checkMediaText(readHlsDocument(text))).toEqual([]);
  for (const answer of [await held, await heldTs]) {
    expect(answer.status).toBe(200);
    await answer.text();
  }
  for (const query of ["_HLS_msn=99999999999", "_HLS_msn=x", "_HLS_msn=1&_HLS_part=77&_HLS_skip=YES"]) {
    const answer = await fetch(origin.live(`source/index.m3u8?${query}`));
    expect({ query, status: answer.status, text: await answer.text() }).toEqual({ query, status: 200, text });
  }
  const next = Number(/.*-(\d+)\.m4s/.exec(text.trimEnd().split("\n").at(-2) ?? "")?.[1]) + 1;
  expect((await fetch(origin.live(`source/${hint.slice(0, 8)}-${next}.0.m4s`))).status).toBe(404);
  const inspector = new TsInspector();
  inspector.push(await viewer);
  expect(inspector.counts).toMatchObject({ continuityErrors: 0, syncLosses: 0 });
  expect((await fetch(origin.live("stream.ts"))).status).toBe(404);
  expect(await origin.readiness()).toBe("ready");
  expect(await origin.metric('spillway_origin_source_state{state="ended"}')).toBe(1);
  // All seven seconds are there, to the last frame.
  const seconds = [...text.matchAll(/#EXTINF:([\d.]+)/g)].map(([, length]) => Number(length));
  expect(seconds.reduce((sum, length) => sum + length, 0)).toBeCloseTo(7, 3);
}, 60_000);

test("our own nodes are sources too: feed.ts of a server, stream.ts of an origin", async () => {
  await using spillway = new Spillway(["--rendition=320x180@800", "--spread=off"], 0);
  await spillway.ready();
  await using first = await TestOrigin.open(`${spillway.server}/feed.ts`);
  await using second = await TestOrigin.open(first.live("stream.ts"));
  for (const origin of [first, second]) {
    await until("three segments", async () => {
      const text = await origin.text("source/ts.m3u8");
      return (text.match(/#EXTINF/g) ?? []).length >= 3;
    });
    expect(await origin.text("index.m3u8")).toContain("FRAME-RATE=30.000");
    expect(checkMediaText(readHlsDocument(await origin.text("source/index.m3u8")))).toEqual([]);
    expect(await origin.metric("spillway_origin_source_continuity_errors_total")).toBe(0);
    expect(await origin.metric("spillway_origin_runs_total")).toBe(1);
  }
}, 60_000);
