/** For the tests of the relay: a small H.264-like transport stream with true counters, made packet by packet. */
import { PACKET_BYTES, pidAt, SYNC_BYTE } from "./ts-packets.ts";

const PMT_PID = 0x1000;
export const VIDEO_PID = 0x100;
const FRAME_TICKS = 3_000;

/** Makes groups of pictures; counters and time stamps go on from one to the next. */
export class FakeTransportStream {
  readonly #counters = new Map<number, number>();
  #pts: number;

  constructor(startPts = 90_000) {
    this.#pts = startPts;
  }

  /** One group: tables, a key frame, and more frames, each of `packetsPerFrame` packets. */
  gop(frames = 10, packetsPerFrame = 5, hasTables = true): Uint8Array {
    const packets: Uint8Array[] = hasTables ? [this.#pat(), this.#pmt()] : [];
    for (let frame = 0; frame < frames; frame++) {
      for (let index = 0; index < packetsPerFrame; index++) {
        packets.push(this.#video({ isStart: index === 0, isKey: frame === 0 && index === 0 }));
      }
      this.#pts = (this.#pts + FRAME_TICKS) % 2 ** 33;
    }
    return Buffer.concat(packets);
  }

  #packet(pid: number, options: { readonly isStart: boolean; readonly adaptation?: number }): Uint8Array {
    const counter = this.#counters.get(pid) ?? 0;
    this.#counters.set(pid, (counter + 1) & 0x0f);
    const packet = new Uint8Array(PACKET_BYTES).fill(0xff);
    const hasAdaptation = options.adaptation !== undefined;
    packet.set([SYNC_BYTE, (options.isStart ? 0x40 : 0) | (pid >> 8), pid & 0xff]);
    packet[3] = (hasAdaptation ? 0x30 : 0x10) | counter;
    if (options.adaptation !== undefined) packet.set([1, options.adaptation], 4);
    return packet;
  }

  #pat(): Uint8Array {
    const packet = this.#packet(0, { isStart: true });
    packet.set([0, 0x00, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xe0 | (PMT_PID >> 8), PMT_PID & 0xff], 4);
    return packet;
  }

  #pmt(): Uint8Array {
    const packet = this.#packet(PMT_PID, { isStart: true });
    const pid = [0xe0 | (VIDEO_PID >> 8), VIDEO_PID & 0xff];
    packet.set([0, 0x02, 0xb0, 18, 0, 1, 0xc1, 0, 0, ...pid, 0xf0, 0, 0x1b, ...pid, 0xf0, 0], 4);
    return packet;
  }

  #video({ isStart, isKey }: { readonly isStart: boolean; readonly isKey: boolean }): Uint8Array {
    if (!isStart) return this.#packet(VIDEO_PID, { isStart });
    const packet = this.#packet(VIDEO_PID, { isStart, ...(isKey ? { adaptation: 0x40 } : {}) });
    packet.set(pesHeader(this.#pts), isKey ? 6 : 4);
    return packet;
  }
}

function pesHeader(pts: number): number[] {
  const high = Math.floor(pts / 2 ** 30) & 0x07;
  const middle = Math.floor(pts / 2 ** 15) & 0x7fff;
  const low = pts & 0x7fff;
  const stamp = [
    0x21 | (high << 1),
    middle >> 7,
    ((middle << 1) & 0xff) | 1,
    low >> 7,
    ((low << 1) & 0xff) | 1,
  ];
  return [0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, ...stamp];
}

/**
 * Continuity errors as a receiver counts them: a counter that does not go on by one and is not announced by
 * `discontinuity_indicator` (ISO/IEC 13818-1 2.4.3.3).
 */
export function countContinuityErrors(bytes: Uint8Array): {
  readonly errors: number;
  readonly marked: number;
} {
  const last = new Map<number, number>();
  let errors = 0;
  let marked = 0;
  for (let at = 0; at + PACKET_BYTES <= bytes.length; at += PACKET_BYTES) {
    if (bytes[at] !== SYNC_BYTE) errors++;
    const pid = pidAt(bytes, at);
    const control = bytes[at + 3] ?? 0;
    const counter = control & 0x0f;
    const hasPayload = (control & 0x10) !== 0;
    const isMarked =
      (control & 0x20) !== 0 && (bytes[at + 4] ?? 0) > 0 && ((bytes[at + 5] ?? 0) & 0x80) !== 0;
    const before = last.get(pid);
    if (isMarked) marked++;
    else if (before !== undefined && counter !== ((before + (hasPayload ? 1 : 0)) & 0x0f)) errors++;
    last.set(pid, counter);
  }
  return { errors, marked };
}
