/** The rules that follow from options and system, and what is said of them. */
import { describe, expect, test } from "bun:test";
import { silentLog, type Log } from "#common/log.ts";
import { DENIED_LINGERING_MAX } from "./admission.ts";
import { describeRules, makeAdmissionRules, type LimitConfig } from "./admission-rules.ts";
import { encodeHelp } from "./pixelflut-replies.ts";

/** A reply buffer has room for any reply of this length. */
const REPLY_BYTES_MAX = 2_048;

const SHIPPED: LimitConfig = {
  connectionsMax: 10_000,
  connectionsPerPrefix: 0,
  mbitPerPrefix: 0,
  fairShare: "prefix",
  prefixV4: 32,
  prefixV6: 64,
  proxyProtocolFrom: [],
  idleSeconds: 0,
};

function make(config: Partial<LimitConfig>, descriptorsMax = Number.POSITIVE_INFINITY, log = silentLog) {
  const all = { ...SHIPPED, ...config };
  return makeAdmissionRules({ config: all, descriptorsMax, threads: 2, hashSeed: 5, log });
}

describe("makeAdmissionRules()", () => {
  test("has no limit as shipped but that of all connections", () => {
    expect(make({})).toEqual({
      limits: {
        connectionsMax: 10_000,
        connectionsPerPrefix: 0,
        bytesPerSecondPerPrefix: 0,
        fairShare: "prefix",
        hashSeed: 5,
      },
      prefixBits: { v4: 32, v6: 64 },
      proxies: [],
      idleMs: Number.POSITIVE_INFINITY,
      deniedLingeringMax: DENIED_LINGERING_MAX / 2,
    });
  });

  test("turns Mbit/s and seconds into what is used inside", () => {
    const { limits, idleMs } = make({ mbitPerPrefix: 0.5, idleSeconds: 90 });
    expect([limits.bytesPerSecondPerPrefix, idleMs]).toEqual([62_500, 90_000]);
  });

  test.each([
    [Number.POSITIVE_INFINITY, 10_000, 0],
    [20_000, 10_000, 0],
    [10_512, 10_000, 0],
    [10_511, 9_999, 1],
    [1_024, 768, 1],
    [8, 6, 1],
    [1, 1, 1],
  ])("of %d files leaves %d connections, with %d warnings", (descriptorsMax, connections, warnings) => {
    const warned: unknown[] = [];
    const log: Log = { ...silentLog, warn: (_, fields) => void warned.push(fields) };
    expect(make({}, descriptorsMax, log).limits.connectionsMax).toBe(connections);
    expect(warned.length).toBe(warnings);
    if (warnings > 0)
      expect(warned).toEqual([{ openFiles: descriptorsMax, connectionsMax: 10_000, connections }]);
  });
});

test.each([
  [Number.POSITIVE_INFINITY, 64, 0],
  [20_000, 1, 384],
  [20_000, 64, 384],
  [1_024, 2, 192],
  [600, 3, 112],
  [8, 2, 2],
])(
  "makeAdmissionRules() of %d files and %d threads keeps %d from players and those not let in",
  (files, threads, kept) => {
    const config = { ...SHIPPED, connectionsMax: 100_000 };
    const rules = makeAdmissionRules({ config, descriptorsMax: files, threads, hashSeed: 5, log: silentLog });
    const deniedMax = threads * rules.deniedLingeringMax;
    expect(deniedMax).toBeLessThanOrEqual(DENIED_LINGERING_MAX);
    expect(files - rules.limits.connectionsMax - deniedMax).toBeGreaterThanOrEqual(kept);
  },
);

describe("makeAdmissionRules() without --connections-max", () => {
  test.each([
    [Number.POSITIVE_INFINITY, 100_000],
    [1_000_000, 100_000],
    [20_512, 20_000],
    [1_024, 768],
  ])(
    "of %d files takes what they allow, %d connections, and warns of nothing",
    (descriptorsMax, connections) => {
      const warned: unknown[] = [];
      const log: Log = { ...silentLog, warn: (_, fields) => void warned.push(fields) };
      const { limits } = make({ connectionsMax: 0 }, descriptorsMax, log);
      expect([limits.connectionsMax, warned]).toEqual([connections, []]);
    },
  );
});

describe("describeRules()", () => {
  test("says what holds as shipped", () => {
    expect(describeRules(make({}))).toEqual([
      "10000 connections in all.",
      "When it gets crowded, every address gets an equal share.",
      "An address here is a /32 of IPv4 or a /64 of IPv6.",
    ]);
  });

  test("says every limit, in a HELP that is one reply", () => {
    const rules = make({
      connectionsMax: 100_000,
      connectionsPerPrefix: 12,
      mbitPerPrefix: 123_456.789012,
      fairShare: "connection",
      prefixV4: 24,
      prefixV6: 128,
      idleSeconds: 604_800,
    });
    const sentences = describeRules(rules);
    expect(sentences).toEqual([
      "100000 connections in all.",
      "12 connections from your address.",
      "123456.789012 Mbit/s from your address: what is beyond waits, nothing is lost.",
      "When it gets crowded, every connection gets an equal share.",
      "An address here is a /24 of IPv4 or a /128 of IPv6.",
      "Send something every 604800 s, or you are disconnected.",
    ]);
    const protocol = { alpha: "blend", outsideGets: "black", isStrict: true, limits: sentences } as const;
    const help = encodeHelp({ width: 8_192, height: 8_192 }, protocol);
    for (const sentence of sentences) expect(new TextDecoder().decode(help)).toContain(`  ${sentence}\n`);
    expect(help.length).toBeLessThan(REPLY_BYTES_MAX);
  });
});
