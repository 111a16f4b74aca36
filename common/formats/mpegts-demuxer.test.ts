/** The demuxer against streams of ffmpeg and of our own muxer, whole, in pieces, and broken. */
import { beforeAll, describe, expect, test } from "bun:test";
import { joinNalUnits, splitAnnexB, writeAvcConfig } from "#common/formats/annex-b.ts";
import { testsrcFrame, testsrcRun } from "#common/formats/fixtures/testsrc.ts";
import { splitNalUnits } from "#common/formats/h264.ts";
import { nalType } from "#common/formats/h264-parameters.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { createTsMuxer, PTS_LEAD_TICKS, TS_PACKET_BYTES, VIDEO_PID } from "#common/formats/mpegts.ts";
import { type DemuxCounts, TsDemuxer, type VideoPes } from "#common/formats/mpegts-demuxer.ts";
import { TICKS_WRAP } from "#common/units.ts";

/** What the `ffmpeg` program makes: two seconds with B-frames at 29.97, and sound. */
function makeStream(): Uint8Array {
  const video = ["-f", "lavfi", "-i", "testsrc2=size=128x72:rate=30000/1001"];
  const sound = ["-f", "lavfi", "-i", "sine"];
  const coding = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "2", "-g", "15", "-c:a", "aac"];
  const { stdout, exitCode } = Bun.spawnSync(
    ["ffmpeg", "-v", "error", ...video, ...sound, "-t", "2", ...coding, "-f", "mpegts", "-"].flat(),
  );
  expect(exitCode).toBe(0);
  return new Uint8Array(stdout);
}

let stream: Uint8Array = new Uint8Array(0);
beforeAll(() => {
  stream = makeStream();
});

interface Demuxed {
  readonly pictures: VideoPes[];
  readonly counts: DemuxCounts;
  readonly events: string[];
}

function demux(pieces: Iterable<Uint8Array>): Demuxed {
  const pictures: VideoPes[] = [];
  const events: string[] = [];
  const demuxer = new TsDemuxer({
    onPes: (pes) => void pictures.push(pes),
    onLoss: () => void events.push(`loss after ${pictures.length}`),
    onVideo: () => void events.push("video"),
  });
  for (const piece of pieces) demuxer.push(piece);
  demuxer.finish();
  return { pictures, counts: demuxer.counts, events };
}

function* inPieces(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe("TsDemuxer", () => {
  test("gives each picture with its times, and counts the sound", () => {
    const { pictures, counts, events } = demux([stream]);
    expect(pictures).toHaveLength(60);
    const times = pictures.map(({ dtsTicks = 0 }) => dtsTicks);
    const steps = new Set(times.slice(1).map((ticks, index) => ticks - (times[index] ?? 0)));
    expect([...steps]).toEqual([3003]);
    expect(pictures.some(({ ptsTicks, dtsTicks }) => ptsTicks !== dtsTicks)).toBeTrue();
    expect(pictures.every(({ ptsTicks = 0, dtsTicks = 0 }) => ptsTicks >= dtsTicks)).toBeTrue();
    const keys = pictures.flatMap(({ data }, index) =>
      splitAnnexB(data).some((unit) => nalType(unit) === 5) ? [index] : [],
    );
    expect(keys).toEqual([0, 15, 30, 45]);
    expect(counts).toMatchObject({ continuityErrors: 0, unreadable: 0, skippedBytes: 0 });
    expect(counts.audioPackets).toBeGreaterThan(20);
    expect(events).toEqual(["video"]);
  });

  test.each([1, 7, 187, 189, 4096])("does so in pieces of %d bytes", (size) => {
    expect(demux(inPieces(stream, size))).toEqual(demux([stream]));
  });

  test("finds the packets behind and between garbage, and leaves out the picture that it hits", () => {
    const whole = demux([stream]);
    const garbage = new Uint8Array(1000).fill(0x47, 10, 20);
    const half = 60 * TS_PACKET_BYTES;
    const broken = demux([garbage, stream.subarray(0, half), garbage, stream.subarray(half)]);
    expect(broken.counts.skippedBytes).toBe(2000);
    expect(broken.pictures).toHaveLength(whole.pictures.length - 1);
    expect(broken.events).toHaveLength(2);
  });

  test("tells of missing and half packets", () => {
    const half = 61 * TS_PACKET_BYTES;
    const cut = demux([stream.subarray(0, half), stream.subarray(half + 100)]);
    expect(cut.events.length).toBeGreaterThan(1);
    expect(cut.pictures.length).toBeGreaterThan(56);
    const video = findVideo(stream);
    const missing = demux([
      stream.subarray(0, video[30]),
      stream.subarray((video[30] ?? 0) + TS_PACKET_BYTES),
    ]);
    expect(missing.counts.continuityErrors).toBe(1);
    expect(missing.events).toHaveLength(2);
  });

  test("follows another version of the tables to another stream", () => {
    const moved = movePids(stream, 0x100, 0x222);
    const { pictures, events } = demux([stream, moved]);
    expect(pictures).toHaveLength(120);
    expect(events).toEqual(["video", "video"]);
  });

  test("keeps to the first programme where tables have many sections and maps share a PID", () => {
    const first = section(PAT, 1, [...programmes(1, 240)]);
    const second = section(PAT, 1, [...programmes(300, 240)], 1);
    const map = (programme: number, pid: number): Uint8Array =>
      section(PMT, programme, [0xe1, 0x00, 0xf0, 0x00, 0x1b, 0xe0 | (pid >> 8), pid & 0xff, 0xf0, 0x00]);
    // The first programme's map is in the middle of a packet.
    const maps = joinBytes([map(2, 0x201), map(1, 0x100), map(300, 0x202)]);
    const tables = joinBytes([
      ...packetsOf(0, first),
      ...packetsOf(0, second, first.length),
      ...packetsOf(0x1000, maps),
    ]);
    const video = joinBytes(findVideo(stream).map((at) => stream.subarray(at, at + TS_PACKET_BYTES)));
    const { pictures, events, counts } = demux([tables, tables, video]);
    expect(events).toEqual(["video"]);
    expect(pictures).toHaveLength(60);
    expect(counts.unreadable).toBe(0);
  });

  test("reads a section that ends where the next one begins", () => {
    const pat = section(PAT, 1, [...programmes(1, 1)]);
    const descriptors = new Uint8Array(200);
    const map = section(PMT, 1, [0xe1, 0x00, 0xf0, 200, ...descriptors, 0x1b, 0xe1, 0x00, 0xf0, 0x00]);
    const head = packet(0x1000, 0, true, joinBytes([Uint8Array.of(0), map.subarray(0, 183)]));
    const rest = map.subarray(183);
    const tail = packet(0x1000, 1, true, joinBytes([Uint8Array.of(rest.length), rest]));
    expect(demux([joinBytes([...packetsOf(0, pat), head, tail, NULL_PACKET])]).events).toEqual(["video"]);
  });

  test("drops a picture that comes in endless packets of a byte", () => {
    const video = findVideo(stream)[0] ?? 0;
    const small = new Uint8Array(TS_PACKET_BYTES).fill(0xff);
    small.set([0x47, 0x01, 0x00, 0x30, 182, 0]);
    const flood = new Uint8Array(70_000 * TS_PACKET_BYTES);
    for (let index = 0; index < 70_000; index++) {
      small[3] = 0x30 | (((stream[video + 3] ?? 0) + 1 + index) & 0x0f);
      flood.set(small, index * TS_PACKET_BYTES);
    }
    const { counts, pictures, events } = demux([stream.subarray(0, video + TS_PACKET_BYTES), flood]);
    expect(counts).toMatchObject({ unreadable: 1, continuityErrors: 0 });
    expect(pictures).toHaveLength(0);
    expect(events).toEqual(["video", "loss after 0"]);
  });

  test("says what a programme without H.264 has", () => {
    const demuxer = new TsDemuxer({ onPes: () => {}, onLoss: () => {}, onVideo: () => {} });
    demuxer.push(retype(stream, 0x24));
    expect(demuxer.otherStreams).toEqual([0x24, 0x0f]);
  });

  test("whatever byte is wrong, it goes on", () => {
    for (let seed = 0; seed < 300; seed++) {
      const damaged = new Uint8Array(stream.subarray(0, 100 * TS_PACKET_BYTES));
      for (let number = 0; number < 20; number++) {
        damaged[(seed * 7919 + number * 104_729) % damaged.length] = (seed * 31 + number * 17) & 0xff;
      }
      demux(inPieces(damaged, 1000));
    }
    expect(demux([new Uint8Array(100_000).fill(0x47)]).pictures).toEqual([]);
  });
});

const PAT = 0;
const PMT = 2;
const NULL_PACKET = packet(0x1fff, 0, false, new Uint8Array(0));

/** `count` programmes from number `first` on, whose maps are all in one PID. */
function* programmes(first: number, count: number): Generator<number> {
  for (let number = first; number < first + count; number++) yield* [number >> 8, number & 0xff, 0xf0, 0x00];
}

function section(table: number, id: number, content: readonly number[], number = 0): Uint8Array {
  const length = content.length + 9;
  const head = [table, 0xb0 | (length >> 8), length & 0xff, id >> 8, id & 0xff, 0xc1, number, 1];
  const bytes = Uint8Array.from([...head, ...content, 0, 0, 0, 0]);
  new DataView(bytes.buffer).setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)));
  return bytes;
}

function packet(pid: number, counter: number, isStart: boolean, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(TS_PACKET_BYTES).fill(0xff);
  bytes.set([0x47, (isStart ? 0x40 : 0) | (pid >> 8), pid & 0xff, 0x10 | (counter & 0x0f)]);
  bytes.set(payload, 4);
  return bytes;
}

/** The packets of what begins with a section, after as many bytes of the same PID as `before`. */
function packetsOf(pid: number, bytes: Uint8Array, before = -1): Uint8Array[] {
  const first = Math.ceil((before + 1) / 184);
  return Array.from(inPieces(joinBytes([Uint8Array.of(0), bytes]), 184), (piece, index) =>
    packet(pid, first + index, index === 0, piece),
  );
}

/** Offsets of the packets of the video. */
function findVideo(bytes: Uint8Array): number[] {
  const found: number[] = [];
  for (let at = 0; at < bytes.length; at += TS_PACKET_BYTES) if (pidAt(bytes, at) === 0x100) found.push(at);
  return found;
}

function pidAt(bytes: Uint8Array, at: number): number {
  return (((bytes[at + 1] ?? 0) & 0x1f) << 8) | (bytes[at + 2] ?? 0);
}

/** Rewrites the map of the programme, with a new version and checksum. */
function editMap(bytes: Uint8Array, edit: (section: Uint8Array) => void): Uint8Array {
  const edited = new Uint8Array(bytes);
  for (let at = 0; at < edited.length; at += TS_PACKET_BYTES) {
    if (pidAt(edited, at) !== 0x1000) continue;
    const section = edited.subarray(
      at + 5,
      at + 5 + 3 + (((edited[at + 6] ?? 0) & 0x0f) << 8) + (edited[at + 7] ?? 0),
    );
    section[5] = (section[5] ?? 0) ^ 2;
    edit(section);
    const view = new DataView(section.buffer, section.byteOffset);
    view.setUint32(section.length - 4, crc32(section.subarray(0, -4)));
  }
  return edited;
}

function movePids(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const moved = editMap(bytes, (section) => {
    section[13] = 0xe0 | (to >> 8);
    section[14] = to & 0xff;
  });
  for (let at = 0; at < moved.length; at += TS_PACKET_BYTES) {
    if (pidAt(moved, at) !== from) continue;
    moved[at + 1] = ((moved[at + 1] ?? 0) & 0xe0) | (to >> 8);
    moved[at + 2] = to & 0xff;
  }
  return moved;
}

function retype(bytes: Uint8Array, type: number): Uint8Array {
  return editMap(bytes, (section) => void (section[12] = type));
}

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      const isOne = ((crc >>> 31) ^ (byte >> bit)) & 1;
      crc = (crc << 1) ^ (isOne === 1 ? 0x04c11db7 : 0);
    }
  }
  return crc >>> 0;
}

describe("createTsMuxer() with times of their own, read back", () => {
  const run = testsrcRun();
  const [rendition] = run.renditions;
  if (rendition === undefined) throw new Error("the test picture has a rendition");

  test("44: decoding and presentation times, beyond 33 bits", () => {
    const muxer = createTsMuxer({ rendition, fps: 30 });
    const start = TICKS_WRAP - 9000;
    const packets = Array.from({ length: 10 }, (_, index) =>
      muxer.muxFrame({
        index,
        ...testsrcFrame(run, index),
        times: {
          decodeTicks: start + index * 3003,
          durationTicks: 3003,
          compositionTicks: index % 3 === 0 ? 6006 : 0,
          isGroupEnd: index === 9,
        },
      }),
    );
    const bytes = joinBytes(packets);
    const { pictures, counts } = demux([bytes]);
    expect(counts).toMatchObject({ continuityErrors: 0, unreadable: 0 });
    expect(pictures.map(({ dtsTicks }) => dtsTicks)).toEqual(
      Array.from({ length: 10 }, (_, index) => (start + index * 3003 + PTS_LEAD_TICKS) % TICKS_WRAP),
    );
    const leads = pictures.map(
      ({ ptsTicks = 0, dtsTicks = 0 }) => (ptsTicks - dtsTicks + TICKS_WRAP) % TICKS_WRAP,
    );
    expect(leads).toEqual(Array.from({ length: 10 }, (_, index) => (index % 3 === 0 ? 6006 : 0)));
    // The group's counters end where those of the next begin.
    const payloads = bytes.length / TS_PACKET_BYTES - 2;
    expect(payloads % 16).toBe(0);
    expect(pidAt(bytes, bytes.length - TS_PACKET_BYTES)).toBe(VIDEO_PID);
  });

  test("43: units behind lengths, and a decoder configuration like the encoder's own", () => {
    const muxer = createTsMuxer({ rendition, fps: 30 });
    const [picture] = demux([muxer.muxFrame({ index: 0, ...testsrcFrame(run, 0) })]).pictures;
    const units = splitAnnexB(picture?.data ?? new Uint8Array(0));
    expect(units.map(nalType)).toEqual([9, 7, 8, 5]);
    const [, sequence = new Uint8Array(0), parameters = new Uint8Array(0), ...slices] = units;
    expect(writeAvcConfig(sequence, [parameters])).toEqual(new Uint8Array(rendition.avcC));
    const { data } = testsrcFrame(run, 0);
    const kept = (splitNalUnits(data) ?? []).filter((unit) => nalType(unit) < 7);
    expect(joinNalUnits(slices)).toEqual(joinNalUnits(kept));
  });
});
