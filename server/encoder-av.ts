/**
 * The only door to libavcodec: loads node-av, which is optional, and turns its return codes into errors. Used inside
 * the encoder's thread only, so that no other part of the process loads it.
 */
import { describeError, SpillwayError } from "#common/errors.ts";

type Library = typeof import("node-av/lib");
type Constants = typeof import("node-av/constants");

/** The parts of node-av that the encoder uses. */
export interface Av {
  readonly library: Library;
  readonly constants: Constants;
}

/** libavcodec refused something; `code` is its negative return code. */
export class EncoderError extends SpillwayError {
  override readonly name = "EncoderError";
}

/** Loads node-av and silences libav and x264, which write banners to standard error. */
export async function loadAv(): Promise<Av> {
  try {
    const [library, constants] = await Promise.all([import("node-av/lib"), import("node-av/constants")]);
    library.Log.setLevel(constants.AV_LOG_QUIET);
    return { library, constants };
  } catch (error) {
    const isMissing = /cannot find (module|package)/i.test(describeError(error));
    const why = isMissing
      ? "the optional package node-av is not installed (npm install without --omit=optional brings it)"
      : `the optional package node-av does not work here (${firstLine(describeError(error))})`;
    // The cause is in the message, which crosses to the main thread as one line.
    throw new EncoderError("encoder-missing", `Cannot load the encoder: ${why}`);
  }
}

/** Throws when `code` says that `what` failed. */
export function expectSuccess(code: number, what: string): void {
  if (code < 0) throw new EncoderError("encoder-failed", `The encoder failed (${code}): ${what}`);
}

/** Throws when a thing that libav allocates is not there. */
export function expectThere<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) {
    throw new EncoderError("encoder-failed", `The encoder failed: no ${what}`);
  }
  return value;
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
