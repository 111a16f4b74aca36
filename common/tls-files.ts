/**
 * The certificate of a running node: the files that `--tls-cert` and `--tls-key` name are looked at now and then, and at
 * once on SIGHUP. What can be used replaces the old one; what cannot is a warning, and the old one stays.
 */
import type { Clock } from "#common/clock.ts";
import { describeError } from "#common/errors.ts";
import type { Log } from "#common/log.ts";
import { checkTls, readTlsTexts, type Tls, type TlsPaths, type TlsSource } from "#common/tls.ts";

/**
 * How often the files are read. Not watched: what renews certificates swaps links, of the files or of folders above them,
 * of which a watcher of the file hears nothing.
 */
const LOOK_MS = 5_000;

export interface TlsFilesOptions {
  readonly paths: TlsPaths;
  readonly clock: Clock;
  readonly log: Log;
}

/** Certificate and key in files. */
export class TlsFiles implements TlsSource, Disposable {
  readonly #options: TlsFilesOptions;
  readonly #listeners: ((tls: Tls) => void)[] = [];
  #current: Tls;
  #expiryMs: number;
  /** The content, or the reason why there is none, that has been acted on. */
  #known: string;
  /** One that was not there at the look before: it may be half written. */
  #candidate: string | undefined;
  #cancelLook: (() => void) | undefined;

  /** Reads the files. Throws `OptionError` for what no client could connect to. */
  constructor(options: TlsFilesOptions) {
    this.#options = options;
    this.#current = readTlsTexts(options.paths);
    this.#expiryMs = this.#check(this.#current);
    this.#known = contentOf(this.#current);
  }

  get current(): Tls {
    return this.#current;
  }

  /** When the first certificate of the chain ends, in milliseconds since the epoch. */
  get expiryMs(): number {
    return this.#expiryMs;
  }

  onChange(listener: (tls: Tls) => void): void {
    this.#listeners.push(listener);
  }

  /** Looks again and again from now on. */
  watch(): void {
    this.#cancelLook = this.#options.clock.after(LOOK_MS, () => {
      this.#look({ isSettled: false });
      this.watch();
    });
  }

  /** Looks now, and takes what there is as whole. */
  reload(): void {
    this.#look({ isSettled: true });
  }

  close(): void {
    this.#cancelLook?.();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #look({ isSettled }: { readonly isSettled: boolean }): void {
    let found: Tls | undefined;
    let content: string;
    try {
      found = readTlsTexts(this.#options.paths);
      content = contentOf(found);
    } catch (error) {
      content = describeError(error);
    }
    if (content === this.#known) {
      this.#candidate = undefined;
      return;
    }
    if (!isSettled && content !== this.#candidate) {
      this.#candidate = content;
      return;
    }
    this.#known = content;
    this.#candidate = undefined;
    if (found === undefined) this.#refuse(content);
    else this.#adopt(found);
  }

  #adopt(found: Tls): void {
    if (contentOf(found) === contentOf(this.#current)) return;
    try {
      this.#expiryMs = this.#check(found);
    } catch (error) {
      this.#refuse(describeError(error));
      return;
    }
    this.#current = found;
    this.#options.log.info("Has a new certificate", { until: new Date(this.#expiryMs).toISOString() });
    for (const listener of this.#listeners) listener(found);
  }

  #refuse(why: string): void {
    this.#options.log.warn(`The certificate stays as it was: ${why}`);
  }

  #check(tls: Tls): number {
    const { paths, log, clock } = this.#options;
    return checkTls(tls, { paths, log, wallMs: clock.wallMs() });
  }
}

function contentOf({ cert, key }: Tls): string {
  return `${cert}\n${key}`;
}
