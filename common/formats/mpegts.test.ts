/** The transport stream: tables, counters, time stamps over 2^33, and the reader beside the writer. */
import { describe, expect, test } from "bun:test";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { TsInspector, type RandomAccessPoint } from "#common/formats/fixtures/mpegts-reader.ts";
import {
  createTsMuxer,
  tsBitsMax,
  crc32Mpeg,
  markDiscontinuity,
  PTS_LEAD_TICKS,
  TS_PACKET_BYTES,
  VIDEO_PID,
} from "#common/formats/mpegts.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { framesToTicks, TICKS_WRAP } from "#common/units.ts";

const run = testsrcRun();
const [rendition] = run.renditions;
if (rendition === undefined) throw new Error("the test picture has a rendition");
const picture = rendition;

/** Frames `from` to `to` (exclusive) as a muxer that begins there writes them. */
function mux(from: number, to: number, fps = 30): Uint8Array[] {
  const slow = { ...run, fps };
  const muxer = createTsMuxer({ rendition: picture, fps });
  const bytes: Uint8Array[] = [];
  for (let index = from; index < to; index++)
    bytes.push(muxer.muxFrame({ index, ...testsrcFrame(slow, index) }));
  return bytes;
}

function packetsOf(bytes: Uint8Array): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += TS_PACKET_BYTES)
    packets.push(bytes.subarray(at, at + TS_PACKET_BYTES));
  return packets;
}

const pidOf = (packet: Uint8Array): number => (((packet[1] ?? 0) & 0x1f) << 8) | (packet[2] ?? 0);

describe("createTsMuxer()", () => {
  test("44: PAT and PMT are the first two packets of each group, then a random access point", () => {
    for (const index of [0, 30, 60]) {
      const [pat, pmt, video] = packetsOf(mux(0, 90)[index] ?? new Uint8Array());
      expect([pat, pmt, video].map((packet) => pidOf(packet ?? new Uint8Array()))).toEqual([
        0,
        0x1000,
        VIDEO_PID,
      ]);
      expect((video?.[5] ?? 0) & 0x50).toBe(0x50);
    }
  });

  test("44: continuity counters go on over groups, and a muxer begun later writes the same bytes", () => {
    const inspector = new TsInspector();
    const whole = mux(0, 90);
    inspector.push(joinBytes(whole));
    expect(inspector.counts).toMatchObject({
      continuityErrors: 0,
      syncLosses: 0,
      duplicates: 0,
      accessUnits: 90,
      randomAccessPoints: 3,
      tableErrors: 0,
    });
    expect(joinBytes(mux(30, 90)).toHex()).toBe(joinBytes(whole.slice(30)).toHex());
    for (const start of [0, 30, 60]) {
      const packets = packetsOf(joinBytes(whole.slice(start, start + 30))).filter(
        (packet) => pidOf(packet) === VIDEO_PID,
      );
      expect(packets.length % 16).toBe(0);
    }
  });

  test.each([1, 2, 5, 7, 10, 24, 25, 30])(
    "44: clock references are at most 100 ms apart at %d fps",
    (fps) => {
      const inspector = new TsInspector();
      inspector.push(joinBytes(mux(0, 3 * fps, fps)));
      expect(inspector.pcrGapTicksMax).toBeLessThanOrEqual(9000);
      expect(inspector.counts.continuityErrors).toBe(0);
      expect(inspector.counts.accessUnits).toBe(3 * fps);
      expect(inspector.ptsTicks).toBe(framesToTicks(3 * fps - 1, fps) + PTS_LEAD_TICKS);
    },
  );

  test.each([1, 5, 24, 30, 60])("16: a second at %d fps takes no more than tsBitsMax() says", (fps) => {
    const muxer = createTsMuxer({ rendition: picture, fps });
    for (const bytes of [1, 200, 5000]) {
      // One NAL unit of type 1 or 5 behind its length.
      const data = new Uint8Array(4 + bytes).fill(1);
      data.set([0, 0, bytes >> 8, bytes & 0xff]);
      let bits = 0;
      for (let index = 0; index < fps; index++) {
        bits += 8 * muxer.muxFrame({ index, isKey: index === 0, data }).length;
      }
      expect(bits).toBeLessThanOrEqual(tsBitsMax({ frameBits: 8 * data.length * fps, fps }));
    }
  });

  test("44: presentation times and clock wrap at 33 bits with a constant lead", () => {
    const group = Math.floor(TICKS_WRAP / 90_000);
    const leads: number[] = [];
    const inspector = new TsInspector({
      onAccessUnit({ ptsTicks = Number.NaN }) {
        leads.push((ptsTicks - (inspector.pcrTicks ?? Number.NaN) + TICKS_WRAP) % TICKS_WRAP);
      },
    });
    inspector.push(joinBytes(mux(group * 30, (group + 2) * 30)));
    expect(new Set(leads)).toEqual(new Set([PTS_LEAD_TICKS]));
    expect(leads).toHaveLength(60);
    expect(inspector.pcrGapTicksMax).toBe(3000);
    expect(inspector.ptsTicks).toBeLessThan(200_000);
  });

  test("a frame that is no list of NAL units is written as an empty access unit", () => {
    const muxer = createTsMuxer({ rendition: picture, fps: 30 });
    const bytes = muxer.muxFrame({ index: 0, isKey: true, data: Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1) });
    expect(bytes.length % TS_PACKET_BYTES).toBe(0);
  });

  test.skipIf(Bun.which("ffprobe") === null)(
    "ffprobe decodes every frame, key frames where they belong",
    async () => {
      const process = Bun.spawn(
        [
          "ffprobe",
          "-v",
          "error",
          "-err_detect",
          "explode",
          "-show_entries",
          "frame=pict_type,pts",
          "-of",
          "csv=p=0",
          "-f",
          "mpegts",
          "-",
        ],
        { stdin: joinBytes(mux(0, 60)), stdout: "pipe", stderr: "pipe" },
      );
      const lines = (await new Response(process.stdout).text()).trim().split("\n");
      expect(await new Response(process.stderr).text()).toBe("");
      expect(lines).toHaveLength(60);
      expect(lines[30]).toBe(`${PTS_LEAD_TICKS + 90_000},I`);
    },
  );
});

describe("markDiscontinuity()", () => {
  test("marks tables and the key frame, changes no size, and a reader accepts the jump", () => {
    const bytes = mux(0, 90);
    const inspector = new TsInspector();
    inspector.push(joinBytes(bytes.slice(0, 40)));
    const errorsBefore = inspector.counts.continuityErrors;
    inspector.push(markDiscontinuity(joinBytes(bytes.slice(60))));
    expect(inspector.counts).toMatchObject({
      continuityErrors: errorsBefore,
      tableErrors: 0,
      discontinuities: 2,
      randomAccessPoints: 3,
    });
    expect(inspector.pcrGapTicksMax).toBe(3000);
  });
});

describe("TsInspector", () => {
  test("finds the same in chunks of any size, and join points begin with the tables", () => {
    const stream = joinBytes([Uint8Array.of(1, 0x47, 3), ...mux(0, 90)]);
    for (const size of [1, 7, 188, 189, 4096, stream.length]) {
      const points: RandomAccessPoint[] = [];
      const inspector = new TsInspector({ onRandomAccess: (point) => void points.push(point) });
      for (let at = 0; at < stream.length; at += size) inspector.push(stream.subarray(at, at + size));
      expect(points.map((point) => point.ptsTicks)).toEqual([18_000, 108_000, 198_000]);
      for (const { startOffset } of points) expect(pidOf(stream.subarray(startOffset))).toBe(0);
      expect(inspector.counts).toMatchObject({
        skippedBytes: 3,
        syncLosses: 0,
        continuityErrors: 0,
        packets: (stream.length - 3) / 188,
      });
      expect(inspector).toMatchObject({ programMapPid: 0x1000, videoPid: VIDEO_PID, videoStreamType: 0x1b });
    }
  });

  test("counts a lost packet, a repeated one, and garbage", () => {
    const packets = packetsOf(joinBytes(mux(0, 30)));
    const inspector = new TsInspector();
    const half = packets.slice(0, 12);
    inspector.push(joinBytes([...half, packets[11] ?? new Uint8Array(), ...packets.slice(13)]));
    expect(inspector.counts).toMatchObject({ continuityErrors: 1, duplicates: 1 });
    inspector.push(new Uint8Array(1000));
    inspector.push(joinBytes(packets));
    expect(inspector.counts.syncLosses).toBe(1);
    expect(inspector.counts.skippedBytes).toBe(1000);
  });
});

test("crc32Mpeg() gives the check value of CRC-32/MPEG-2", () => {
  expect(crc32Mpeg(new TextEncoder().encode("123456789"))).toBe(0x0376e6e7);
});
