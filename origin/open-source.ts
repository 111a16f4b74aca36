/** Opens what `--source` names. What it is, the first bytes tell: a feed begins with a `ftyp` box, all else is taken for MPEG-TS. */
import { PROOF_REFUSED, proveSecret } from "#common/cluster-auth.ts";
import { joinBytes } from "#common/join-bytes.ts";
import { feedFormat } from "./feed-source.ts";
import { HttpSource, type HttpSourceOptions, type SourceFormat, type SourceReader } from "./http-source.ts";
import type { Source } from "./source.ts";
import { tsFormat, type TsFormatOptions } from "./ts-source.ts";

/** Bytes until the type of the first box is known. */
const HEAD_BYTES = 8;
const OWN_PATHS = /\/feed\.(?:mp4|ts)$/;
const FEED_TYPE = new TextEncoder().encode("ftyp");

export interface SourceOptions extends Omit<HttpSourceOptions, "headers" | "refusalHint">, TsFormatOptions {
  /** The cluster's secret, or empty. */
  readonly secret: string;
}

/** Opens what is at `options.url` and keeps it open. */
export function openSource(options: SourceOptions): Source {
  const { secret, clock, url } = options;
  const isOwn = isOwnPath(url);
  const isProved = secret !== "" && isOwn;
  const headers = (): Record<string, string> => ({
    // Another origin hands no edge out to this one.
    "cdn-loop": "spillway",
    ...(isProved && {
      authorization: proveSecret({ secret, purpose: "feed", wallMs: clock.wallMs() }),
    }),
  });
  const refusalHint = isOwn ? PROOF_REFUSED : undefined;
  return new HttpSource({ ...options, headers, refusalHint }, sniffedFormat(tsFormat(options)));
}

function sniffedFormat(ts: SourceFormat): SourceFormat {
  return {
    name: "source",
    open(reading) {
      let head: Uint8Array = new Uint8Array(0);
      let reader: SourceReader | undefined;
      return {
        push(chunk) {
          if (reader !== undefined) {
            reader.push(chunk);
            return;
          }
          head = joinBytes([head, chunk]);
          if (head.length < HEAD_BYTES) return;
          reader = (isFeed(head) ? feedFormat : ts).open(reading);
          reader.push(head);
        },
        async drain(signal) {
          await reader?.drain(signal);
        },
        finish: () => reader?.finish(),
      };
    },
    isUnreadable: (error) => feedFormat.isUnreadable(error) || ts.isUnreadable(error),
  };
}

/** True for the paths of a canvas server: what somebody else serves is shown no proof of the secret. */
function isOwnPath(url: string): boolean {
  return OWN_PATHS.test(new URL(url).pathname);
}

function isFeed(head: Uint8Array): boolean {
  return Buffer.compare(head.subarray(4, HEAD_BYTES), FEED_TYPE) === 0;
}
