/**
 * Damage for the differential fuzz: some of its bytes are changed, lost, doubled or moved, most often into one that only
 * just is no digit, no letter or no blank.
 */
import { pick, pickNearMiss, type Random } from "./pixelflut-fuzz-writer.ts";

/** With heavy damage, one place in so many bytes. */
const BYTES_PER_PLACE = 300;

/** Damages most inputs in no place or in one, some in many. May work in place; returns what is left. */
export function mutate(bytes: Uint8Array<ArrayBuffer>, random: Random): Uint8Array<ArrayBuffer> {
  const kind = random(20);
  if (kind < 11 || bytes.length === 0) return bytes;
  const isHeavy = kind === 19;
  const places = isHeavy
    ? 1 + random(Math.min(200, 1 + Math.floor(bytes.length / BYTES_PER_PLACE)))
    : kind < 17
      ? 1
      : 1 + random(6);
  let damaged = bytes;
  for (let place = 0; place < places; place += 1) damaged = mutateOnce(damaged, random);
  return damaged;
}

function mutateOnce(bytes: Uint8Array<ArrayBuffer>, random: Random): Uint8Array<ArrayBuffer> {
  const { length } = bytes;
  if (length < 2) return bytes;
  const at = random(length);
  switch (random(8)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
      return bytes;
    case 1:
      bytes[at] = random(256);
      return bytes;
    case 2:
    case 3:
      bytes[at] = pickNearMiss(random);
      return bytes;
    case 4:
      bytes.copyWithin(at, at + 1);
      return bytes.subarray(0, length - 1);
    case 5:
      // The last byte makes room.
      bytes.copyWithin(at + 1, at);
      bytes[at] = pickNearMiss(random);
      return bytes;
    case 6:
      bytes.copyWithin(at, random(length), length - random(Math.min(length, 40)));
      return bytes;
    default: {
      const lost = 1 + random(pick(random, [4, 20, 300]));
      bytes.copyWithin(at, at + lost);
      return bytes.subarray(0, Math.max(at, length - lost));
    }
  }
}
