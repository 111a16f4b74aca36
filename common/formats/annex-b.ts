/**
 * H.264 as MPEG-TS and files carry it, NAL units behind start codes, turned into what CMAF and the feed carry: units behind
 * their lengths, and the parameter sets in a decoder configuration.
 */
// ITU-T H.264 annex B (byte stream), ISO/IEC 14496-15 5.3.3.1 (AVCDecoderConfigurationRecord)
import { NAL_LENGTH_BYTES } from "#common/formats/h264.ts";
import { readSequenceParameters } from "#common/formats/h264-parameters.ts";
import { joinBytes } from "#common/join-bytes.ts";

const START_CODE = Buffer.of(0, 0, 1);
/** Profiles whose record tells of chroma and depth too. */
const PROFILES_WITH_EXTENSION = new Set([100, 110, 122, 144]);
const PARAMETER_SET_BYTES_MAX = 0xffff;

/** The NAL units of a byte stream, without start codes and the zeros between. Views, in order; what stands before the first is left out. */
export function splitAnnexB(bytes: Uint8Array): Uint8Array[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const units: Uint8Array[] = [];
  let from = buffer.indexOf(START_CODE);
  while (from !== -1) {
    from += START_CODE.length;
    const next = buffer.indexOf(START_CODE, from);
    let end = next === -1 ? bytes.length : next;
    while (end > from && bytes[end - 1] === 0) end--;
    if (end > from) units.push(bytes.subarray(from, end));
    from = next;
  }
  return units;
}

/** A frame's NAL units, each behind its length in four bytes. */
export function joinNalUnits(units: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const size = units.reduce((sum, unit) => sum + NAL_LENGTH_BYTES + unit.length, 0);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const unit of units) {
    view.setUint32(offset, unit.length);
    bytes.set(unit, offset + NAL_LENGTH_BYTES);
    offset += NAL_LENGTH_BYTES + unit.length;
  }
  return bytes;
}

/** The decoder configuration of one sequence parameter set and its picture parameter sets; `undefined` where they cannot be in one. */
export function writeAvcConfig(
  sequence: Uint8Array,
  pictures: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> | undefined {
  const parameters = readSequenceParameters(sequence);
  const isTooLong = [sequence, ...pictures].some((unit) => unit.length > PARAMETER_SET_BYTES_MAX);
  if (parameters === undefined || pictures.length === 0 || pictures.length > 0xff || isTooLong) {
    return undefined;
  }
  const { profile, compatibility, level, chromaFormat, lumaBits, chromaBits } = parameters;
  const extension = PROFILES_WITH_EXTENSION.has(profile)
    ? [0xfc | chromaFormat, 0xf8 | (lumaBits - 8), 0xf8 | (chromaBits - 8), 0]
    : [];
  return joinBytes([
    Uint8Array.of(1, profile, compatibility, level, 0xfc | (NAL_LENGTH_BYTES - 1), 0xe1),
    ...withLength(sequence),
    Uint8Array.of(pictures.length),
    ...pictures.flatMap(withLength),
    Uint8Array.from(extension),
  ]);
}

function withLength(unit: Uint8Array): Uint8Array[] {
  return [Uint8Array.of(unit.length >> 8, unit.length & 0xff), unit];
}
