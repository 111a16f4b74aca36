/**
 * The limits for players as the operator set them, as far as the system allows: made once at start, for
 * `admission.ts` in every pixel thread and for HELP.
 */
import type { ConfigOf } from "#common/options.ts";
import type { Log } from "#common/log.ts";
import { DENIED_LINGERING_MAX, type AdmissionRules } from "./admission.ts";
import { CONNECTIONS_MAX, type limitOptions } from "./limit-options.ts";

/** Bytes in a Mbit. */
const BYTES_PER_MBIT = 125_000;
/** Descriptors kept for all but players: a quarter of them, but no more than this. */
const OTHER_DESCRIPTORS_MAX = 512;
/** Those not let in may hold so much of that; the rest is for HTTP, files and what each thread needs. */
const DENIED_PART = 1 / 4;

/** The options' values. */
export type LimitConfig = ConfigOf<typeof limitOptions>;

/**
 * The rules that hold.
 *
 * @param descriptorsMax files that the process may open, perhaps infinity (`common/open-files.ts`)
 * @param log told where they are too few for `--connections-max`
 */
export function makeAdmissionRules(options: {
  readonly config: LimitConfig;
  readonly descriptorsMax: number;
  /** Pixel threads. */
  readonly threads: number;
  readonly hashSeed: number;
  readonly log: Log;
}): AdmissionRules {
  const { config, descriptorsMax, threads, hashSeed, log } = options;
  const wanted = config.connectionsMax === 0 ? CONNECTIONS_MAX : config.connectionsMax;
  const others = Math.min(OTHER_DESCRIPTORS_MAX, Math.ceil(descriptorsMax / 4));
  const playersMax = Math.max(1, descriptorsMax - others);
  if (playersMax < config.connectionsMax) {
    log.warn(
      "The system's limit of open files allows fewer connections than --connections-max: raise it with `ulimit -n` or systemd's LimitNOFILE=",
      { openFiles: descriptorsMax, connectionsMax: config.connectionsMax, connections: playersMax },
    );
  }
  return {
    limits: {
      connectionsMax: Math.min(wanted, playersMax),
      connectionsPerPrefix: config.connectionsPerPrefix,
      bytesPerSecondPerPrefix: config.mbitPerPrefix * BYTES_PER_MBIT,
      fairShare: config.fairShare,
      hashSeed,
    },
    prefixBits: { v4: config.prefixV4, v6: config.prefixV6 },
    proxies: config.proxyProtocolFrom,
    idleMs: config.idleSeconds === 0 ? Number.POSITIVE_INFINITY : config.idleSeconds * 1_000,
    deniedLingeringMax: Math.floor(Math.min(DENIED_LINGERING_MAX, others * DENIED_PART) / threads),
  };
}

/** What HELP says of the rules, a sentence each. A player learns of a limit on bytes nowhere else. */
export function describeRules({ limits, prefixBits, idleMs }: AdmissionRules): string[] {
  const { connectionsMax, connectionsPerPrefix, bytesPerSecondPerPrefix, fairShare } = limits;
  const sentences = [`${connectionsMax} connections in all.`];
  if (connectionsPerPrefix > 0) sentences.push(`${connectionsPerPrefix} connections from your address.`);
  if (bytesPerSecondPerPrefix > 0) {
    const mbit = Number((bytesPerSecondPerPrefix / BYTES_PER_MBIT).toFixed(6));
    sentences.push(`${mbit} Mbit/s from your address: what is beyond waits, nothing is lost.`);
  }
  const whose = fairShare === "prefix" ? "address" : "connection";
  sentences.push(`When it gets crowded, every ${whose} gets an equal share.`);
  sentences.push(`An address here is a /${prefixBits.v4} of IPv4 or a /${prefixBits.v6} of IPv6.`);
  if (Number.isFinite(idleMs))
    sentences.push(`Send something every ${idleMs / 1_000} s, or you are disconnected.`);
  return sentences;
}
