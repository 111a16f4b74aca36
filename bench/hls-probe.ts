/** One client of a check over HTTP: sends a request as it is told, looks at what every answer must have, and keeps what is wrong. */
// RFC 9110; draft-pantos-hls-rfc8216bis-22 B.1
import type { Clock } from "#common/clock.ts";
import type { Finding } from "./hls-document.ts";

/** Longest wait for one answer: no hold is longer than this. */
const ANSWER_MS_MAX = 30_000;
/** Findings that are kept: more say nothing more. */
const FINDINGS_MAX = 1_000;

/** An answer, read to its end. */
export interface Answer {
  readonly url: string;
  readonly status: number;
  readonly headers: Headers;
  /** As they came, compressed or not. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly tookMs: number;
  readonly endMs: number;
}

export interface ProbeOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Accept any TLS certificate. */
  readonly isInsecure: boolean;
}

export class HlsProbe {
  readonly #options: ProbeOptions;
  readonly #findings = new Map<string, Finding>();
  requests = 0;

  constructor(options: ProbeOptions) {
    this.#options = options;
  }

  /** What was wrong, each once, by item. */
  get findings(): readonly Finding[] {
    return [...this.#findings.values()].toSorted((a, b) => a.item - b.item);
  }

  get isStopped(): boolean {
    return this.#options.signal.aborted;
  }

  nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  /** Notes that a rule is broken unless it `holds`. */
  expect(item: number, holds: boolean, text: string): void {
    if (!holds) this.add([{ item, text }]);
  }

  add(findings: readonly Finding[], where = ""): void {
    for (const { item, text } of findings) {
      if (this.#findings.size >= FINDINGS_MAX) return;
      const said = where === "" ? text : `${where}: ${text}`;
      this.#findings.set(`${item} ${said}`, { item, text: said });
    }
  }

  /** Sends a request; redirects are not followed, bodies not decompressed. */
  async ask(url: string, init: RequestInit = {}): Promise<Answer> {
    const { isInsecure, signal } = this.#options;
    const startMs = this.nowMs();
    this.requests++;
    const headers = {
      "accept-encoding": "identity",
      ...(init.headers as Record<string, string> | undefined),
    };
    const response = await fetch(url, {
      ...init,
      headers,
      redirect: "manual",
      decompress: false,
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)]),
      ...(isInsecure && { tls: { rejectUnauthorized: false } }),
    });
    const bytes = new Uint8Array(await response.arrayBuffer());
    const endMs = this.nowMs();
    const answer = {
      url,
      status: response.status,
      headers: response.headers,
      bytes,
      tookMs: endMs - startMs,
      endMs,
    };
    this.#checkAnswer(answer, init.method ?? "GET");
    return answer;
  }

  /** What every answer must have, whatever its status. */
  #checkAnswer({ url, status, headers }: Answer, method: string): void {
    const what = `${method} ${url} (${status})`;
    // A cache says how old its answers are; who makes them must not.
    const isCached = headers.has("cache-status");
    this.expect(50, !Number.isNaN(Date.parse(headers.get("date") ?? "")), `${what} has no Date`);
    this.expect(50, isCached || !headers.has("age"), `${what} has an Age`);
    this.expect(50, !headers.has("set-cookie"), `${what} sets a cookie`);
    this.expect(51, headers.get("access-control-allow-origin") === "*", `${what} has no CORS header`);
    this.expect(54, !headers.has("priority"), `${what} has a Priority, which is not checked here`);
    this.expect(55, status < 300 || status >= 400 || status === 304, `${what} is a redirect`);
  }
}

/** The text of an answer. */
export function textOf({ bytes }: Answer): string {
  return new TextDecoder().decode(bytes);
}

/** `max-age` of an answer, in seconds. */
export function maxAgeOf({ headers }: Answer): number | undefined {
  const value = /\bmax-age=(\d+)/.exec(headers.get("cache-control") ?? "")?.[1];
  return value === undefined ? undefined : Number(value);
}
