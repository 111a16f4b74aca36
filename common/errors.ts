/**
 * Errors that a person or a caller can act on. Each carries a stable `code` and keeps its `cause`;
 * programming mistakes are assertions, not these.
 */

/** What a failure means to the process that meets it: the exit status it ends with if nobody handles it. */
export const EXIT_STATUS = { ok: 0, failed: 1, usage: 2 } as const;

/** Base of all expected failures. `message` is one line fit for an operator. */
export class SpillwayError extends Error {
  override readonly name: string = "SpillwayError";
  /** Stable, machine-readable name of the failure, such as `address-in-use`. */
  readonly code: string;

  constructor(code: string, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** A wrong flag, environment variable or configuration file: exit status 2. */
export class OptionError extends SpillwayError {
  override readonly name = "OptionError";

  constructor(message: string, options?: { readonly cause?: unknown }) {
    super("bad-option", message, options);
  }
}

/** The process cannot begin its work (port in use, encoder missing): exit status 1. */
export class StartError extends SpillwayError {
  override readonly name = "StartError";
  readonly exitStatus: number;

  constructor(
    code: string,
    message: string,
    options?: { readonly cause?: unknown; readonly exitStatus?: number },
  ) {
    super(code, message, options);
    this.exitStatus = options?.exitStatus ?? EXIT_STATUS.failed;
  }
}

/** The status that a process ends with after `error`. */
export function exitStatusOf(error: unknown): number {
  if (error instanceof OptionError) return EXIT_STATUS.usage;
  return error instanceof StartError ? error.exitStatus : EXIT_STATUS.failed;
}

/** One line for any thrown value: its message, followed by the messages of its causes. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.message === "" ? error.name : error.message;
  return error.cause === undefined ? own : `${own}: ${describeError(error.cause)}`;
}

/** The `code` of a system or library error (`EADDRINUSE`), or `undefined`. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
