/** Readers of `/feed.ts` begin with a key frame. */
import { expect, test } from "bun:test";
import { type EncodedFrame, evenTimes, evenTimescale, type Run } from "#common/formats/frame.ts";
import { createTsMuxer } from "#common/formats/mpegts.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { silentLog } from "#common/log.ts";
import { TsOutlet } from "./feed-ts.ts";

const FPS = 5;
const RENDITION = {
  trackId: 1,
  name: "720p",
  width: 1280,
  height: 720,
  bitsPerSecondMax: 6_000_000,
  avcC: Uint8Array.fromHex(
    "0164001fffe1001c6764001facb402802dd350101014000003000400000300f23c60ca8001000468ef3cb0fdf8f800",
  ),
};
const RUN: Run = {
  id: "0123abcd",
  ordinal: 7,
  startFrame: 1000,
  startTimeMs: 1_795_230_000_000,
  fps: FPS,
  timescale: evenTimescale(FPS),
  renditions: [RENDITION, { ...RENDITION, trackId: 2, name: "360p" }],
};

function frame(index: number, trackId: number): EncodedFrame {
  return {
    trackId,
    number: RUN.startFrame + index,
    captureTimeMs: RUN.startTimeMs + index,
    isKey: index % FPS === 0,
    ...evenTimes(index),
    data: Uint8Array.of(0, 0, 0, 2, index % FPS === 0 ? 0x65 : 0x41, trackId),
  };
}

test("TsOutlet.serve() begins with the last key frame and carries the first rendition", async () => {
  const outlet = new TsOutlet({ log: silentLog });
  using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => outlet.serve() });
  expect((await fetch(server.url)).status).toBe(503);
  outlet.beginRun(RUN);
  const muxer = createTsMuxer({ rendition: RENDITION, fps: FPS });
  const packets: Uint8Array[] = [];
  const add = (index: number): void => {
    for (const trackId of [1, 2]) outlet.addFrame(frame(index, trackId));
    packets.push(muxer.muxFrame({ ...frame(index, 1), index }));
  };
  for (let index = 0; index <= 7; index++) add(index);
  const response = await fetch(server.url);
  expect(response.headers.get("content-type")).toBe("video/mp2t");
  while (outlet.readers.count === 0) await Bun.sleep(1);
  add(8);
  outlet.close();
  expect(await response.bytes()).toEqual(joinBytes(packets.slice(5)));
});
