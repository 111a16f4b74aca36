/**
 * What Spillway reads of H.264 beside moving it: the decoder configuration (profile, parameter sets) and the NAL
 * units of a frame, each behind its length in four bytes.
 */
// ISO/IEC 14496-15 5.3.3.1 (AVCDecoderConfigurationRecord), ITU-T H.264 7.3.1 (NAL unit), RFC 6381 3.3 (codecs)

/** Bytes of the length before each NAL unit of a frame. */
export const NAL_LENGTH_BYTES = 4;

/** An AVCDecoderConfigurationRecord, read. The parameter sets are views on it. */
export interface AvcConfig {
  /** `profile_idc`, the constraint flags and `level_idc`, as they stand in the first parameter set. */
  readonly profile: number;
  readonly compatibility: number;
  readonly level: number;
  /** Bytes of the length before each NAL unit. */
  readonly lengthBytes: number;
  readonly sequenceParameterSets: readonly Uint8Array[];
  readonly pictureParameterSets: readonly Uint8Array[];
}

/** Reads an AVCDecoderConfigurationRecord, or returns `undefined` where it is none or lacks a parameter set. */
export function readAvcConfig(avcC: Uint8Array): AvcConfig | undefined {
  const [version, profile, compatibility, level, lengths, sequenceCount] = avcC;
  if (version !== 1 || profile === undefined || compatibility === undefined) return undefined;
  if (level === undefined || lengths === undefined || sequenceCount === undefined) return undefined;
  const sequence = readParameterSets(avcC, 6, sequenceCount & 0x1f);
  if (sequence === undefined) return undefined;
  const picture = readParameterSets(avcC, sequence.end + 1, avcC[sequence.end] ?? 0);
  if (picture === undefined) return undefined;
  return {
    profile,
    compatibility,
    level,
    lengthBytes: (lengths & 3) + 1,
    sequenceParameterSets: sequence.sets,
    pictureParameterSets: picture.sets,
  };
}

/** The same configuration with one more picture parameter set behind its own. It must be one that can be read. */
export function addPictureParameters(avcC: Uint8Array, unit: Uint8Array): Uint8Array<ArrayBuffer> {
  const config = readAvcConfig(avcC);
  const lastSequence = config?.sequenceParameterSets.at(-1);
  const lastPicture = config?.pictureParameterSets.at(-1);
  if (lastSequence === undefined || lastPicture === undefined) throw new TypeError("avcC cannot be read");
  // Where the number of sets stands, and where they end.
  const countAt = lastSequence.byteOffset + lastSequence.length - avcC.byteOffset;
  const end = lastPicture.byteOffset + lastPicture.length - avcC.byteOffset;
  const added = new Uint8Array(avcC.length + 2 + unit.length);
  added.set(avcC.subarray(0, end));
  added[countAt] = (avcC[countAt] ?? 0) + 1;
  new DataView(added.buffer).setUint16(end, unit.length);
  added.set(unit, end + 2);
  added.set(avcC.subarray(end), end + 2 + unit.length);
  return added;
}

/** A NAL unit as a frame has it, behind its length. */
export function prefixLength(unit: Uint8Array): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(NAL_LENGTH_BYTES + unit.length);
  new DataView(data.buffer).setUint32(0, unit.length);
  data.set(unit, NAL_LENGTH_BYTES);
  return data;
}

function readParameterSets(
  bytes: Uint8Array,
  start: number,
  count: number,
): { readonly sets: readonly Uint8Array[]; readonly end: number } | undefined {
  const sets: Uint8Array[] = [];
  let end = start;
  for (let index = 0; index < count; index++) {
    const high = bytes[end];
    const low = bytes[end + 1];
    if (high === undefined || low === undefined) return undefined;
    const from = end + 2;
    end = from + high * 256 + low;
    if (end > bytes.length || end === from) return undefined;
    sets.push(bytes.subarray(from, end));
  }
  return sets.length === 0 ? undefined : { sets, end };
}

/** The name of the codec in playlists and MIME types, such as `avc1.64001f`. */
export function avcCodecs({ profile, compatibility, level }: AvcConfig): string {
  return `avc1.${Uint8Array.of(profile, compatibility, level).toHex()}`;
}

/** The NAL units of a frame, or `undefined` where their lengths do not add up to it. Views, in order. */
export function splitNalUnits(data: Uint8Array): readonly Uint8Array[] | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const units: Uint8Array[] = [];
  let offset = 0;
  while (offset + NAL_LENGTH_BYTES < data.length) {
    const start = offset + NAL_LENGTH_BYTES;
    offset = start + view.getUint32(offset);
    if (offset === start || offset > data.length) return undefined;
    units.push(data.subarray(start, offset));
  }
  return offset === data.length && units.length > 0 ? units : undefined;
}
