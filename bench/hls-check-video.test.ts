/** What a multivariant playlist and INDEPENDENT say of the video is compared with the video. */
import { expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { writeChunk, writeInitSegment } from "#common/formats/cmaf.ts";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { checkHls } from "./hls-check.ts";
import { holdsKeyFrame, videoOf } from "./hls-check-video.ts";

const run = testsrcRun();
const [rendition] = run.renditions;
if (rendition === undefined) throw new Error("the test picture has a rendition");
const INIT = writeInitSegment(rendition, run);
/** The parts of one segment of two seconds: key frames stand in the first and in the third. */
const PARTS = [0, 15, 30, 45].map((from) =>
  writeChunk(
    Array.from({ length: 15 }, (_, index) => testsrcFrame(run, from + index)),
    run,
  ),
);
const SEGMENT = Buffer.concat(PARTS);
const RIGHT = {
  bandwidth: 4 * SEGMENT.length,
  codecs: "mp4a.40.2,avc1.4d400a",
  size: "64x64",
  independent: [0, 2],
};

type Said = typeof RIGHT;

function mediaPlaylist({ independent }: Said): string {
  const parts = PARTS.map(
    (_, part) =>
      `#EXT-X-PART:DURATION=0.50000,URI="${part}.m4s"${independent.includes(part) ? ",INDEPENDENT=YES" : ""}\n`,
  );
  return `#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.50000\n#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI="init.mp4"\n${parts.join("")}#EXTINF:2.00000,\nwhole.m4s\n#EXT-X-ENDLIST\n`;
}

function multivariantPlaylist({ bandwidth, codecs, size }: Said): string {
  return `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=${bandwidth},CODECS="${codecs}",RESOLUTION=${size}\nmedia.m3u8\n`;
}

/** What is found of rules 16 and 22. */
async function findingsOf(said: Said): Promise<string[]> {
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const name = new URL(request.url).pathname.slice(1);
      if (name === "all.m3u8") return new Response(multivariantPlaylist(said));
      if (name === "media.m3u8") return new Response(mediaPlaylist(said));
      if (name === "init.mp4") return new Response(INIT);
      return new Response(PARTS[Number.parseInt(name, 10)] ?? SEGMENT);
    },
  });
  const url = `http://127.0.0.1:${server.port}/all.m3u8`;
  const { signal } = new AbortController();
  const { findings } = await checkHls({ url, seconds: 0, clock: systemClock, signal, isInsecure: false });
  return findings.filter(({ text }) => /bit\/s|its video|key frame/.test(text)).map(({ text }) => text);
}

test("videoOf() and holdsKeyFrame() read what was written, and nothing else", () => {
  expect(videoOf({ bytes: INIT })).toEqual({ codec: "avc1.4d400a", width: 64, height: 64 });
  expect(PARTS.map((bytes) => holdsKeyFrame({ bytes }))).toEqual([true, false, true, false]);
  const page = new TextEncoder().encode("<html>Sorry</html>\n");
  expect([videoOf({ bytes: page }), holdsKeyFrame({ bytes: page })]).toEqual([undefined, undefined]);
  const bent = new Uint8Array(SEGMENT);
  bent[SEGMENT.indexOf("mdat") + 4] = 0xff;
  expect(holdsKeyFrame({ bytes: bent })).toBe(undefined);
});

test.each([
  ["nothing where all is true", {}, []],
  [
    "16: a rate above BANDWIDTH",
    { bandwidth: 4 * SEGMENT.length - 1 },
    [`whole.m4s has ${4 * SEGMENT.length} bit/s, more than BANDWIDTH=${4 * SEGMENT.length - 1}`],
  ],
  [
    "16: another codec",
    { codecs: "avc1.640028" },
    ['CODECS of media.m3u8 is "avc1.640028", its video avc1.4d400a'],
  ],
  ["16: another size", { size: "64x32" }, ["RESOLUTION of media.m3u8 is 64x32, its video 64x64"]],
  [
    "22: INDEPENDENT at the wrong parts",
    { independent: [0, 3] },
    ["2.m4s has a key frame and does not say so", "3.m4s has no key frame and says so"],
  ],
])("checkHls() finds %s", async (_, wrong: Partial<Said>, expected: string[]) => {
  expect(await findingsOf({ ...RIGHT, ...wrong })).toEqual(expected);
});
