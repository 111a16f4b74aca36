/**
 * What the players' queue costs a read: `take` and `done` of one thread, with one prefix, a few, and as many as there
 * are connections, without limits and with a budget. A checksum of who was served says that the work was done.
 * `bun bench/micro/player-shares.bench.ts [turns]`.
 */
import { createFramebuffer } from "../../server/framebuffer.ts";
import { NO_PLAYER_LIMITS, PlayerShares } from "../../server/player-shares.ts";

/** Connections queued, and the prefixes that they come from. */
const CROWDS = [
  { connections: 1, prefixes: 1 },
  { connections: 101, prefixes: 2 },
  { connections: 1_000, prefixes: 1 },
  { connections: 10_000, prefixes: 10_000 },
] as const;
/** More than anybody uses: it is charged, and nobody waits. */
const AMPLE_BYTES_PER_SECOND = 1e15;

/** The result for one crowd. */
export interface PlayerSharesFigures {
  readonly connections: number;
  readonly prefixes: number;
  readonly hasBudget: boolean;
  /** For one `take` and one `done`: median over the rounds. */
  readonly nsPerTurn: number;
  /** CRC-32 of the connections in the order in which they were served. */
  readonly checksum: string;
}

/** `rounds` times `turns` turns for each crowd, by turns. */
export function benchPlayerShares({
  turns,
  rounds,
}: {
  readonly turns: number;
  readonly rounds: number;
}): PlayerSharesFigures[] {
  const sides = CROWDS.flatMap((crowd) =>
    [false, true].map((hasBudget) => openSide({ ...crowd, hasBudget })),
  );
  for (let round = 0; round < rounds; round += 1) for (const side of sides) side.run(turns);
  return sides.map(({ figures }) => figures());
}

function openSide({
  connections,
  prefixes,
  hasBudget,
}: Pick<PlayerSharesFigures, "connections" | "prefixes" | "hasBudget">) {
  const framebuffer = createFramebuffer({ width: 1, height: 1, connectionsMax: connections });
  const shares = new PlayerShares(framebuffer, 0, {
    ...NO_PLAYER_LIMITS,
    bytesPerSecondPerPrefix: hasBudget ? AMPLE_BYTES_PER_SECOND : 0,
  });
  const key = new Uint8Array(16);
  for (let connection = 0; connection < connections; connection += 1) {
    new DataView(key.buffer).setUint32(0, connection % prefixes);
    const prefix = shares.admit(key);
    if (typeof prefix === "string") throw new Error(`Denied: ${prefix}`);
    shares.enqueue(connection, prefix);
  }
  const roundsNs: number[] = [];
  let checksum = 0;
  let turn = 0;
  return {
    run(turns: number): void {
      const served = new Uint16Array(turns);
      const startMs = performance.now();
      for (let index = 0; index < turns; index += 1) {
        turn += 1;
        const connection = shares.take(turn);
        served[index] = connection;
        // Some reads are shorter.
        const bytes = 65_536 - (turn % 7) * 1_000;
        shares.done(connection, bytes, bytes, true, turn);
      }
      roundsNs.push(((performance.now() - startMs) * 1e6) / turns);
      checksum = Bun.hash.crc32(served, checksum);
    },
    figures: (): PlayerSharesFigures => ({
      connections,
      prefixes,
      hasBudget,
      nsPerTurn: Math.round(roundsNs.toSorted((one, two) => one - two)[Math.floor(roundsNs.length / 2)] ?? 0),
      checksum: checksum.toString(16).padStart(8, "0"),
    }),
  };
}

if (import.meta.main) {
  console.table(benchPlayerShares({ turns: Number(process.argv[2] ?? 1_000_000), rounds: 7 }));
}
