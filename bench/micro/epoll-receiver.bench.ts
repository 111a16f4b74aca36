/**
 * What the receive path of Linux costs a read: one player at a socket pair sends, one receiver waits for its event,
 * reads, parses and arms it again; with the kernel and with one that parses nothing, which leaves the path alone. The
 * player's own send(2) is part of it. A checksum of the canvas says that the work was done. Linux only.
 * `bun bench/micro/epoll-receiver.bench.ts [reads]`.
 */
import { EpollRig } from "../../server/epoll-rig.ts";
import type { Kernel } from "../../server/kernel.ts";

const WIDTH = 256;
const HEIGHT = 256;
/** Commands of a read: one, a segment of a network, a large read. */
const COMMANDS = [1, 80, 3_600] as const;

/** The result for one length of reads. */
export interface EpollReceiverFigures {
  /** Of a read. */
  readonly bytes: number;
  /** For one read: median over the rounds. */
  readonly nsPerRead: number;
  /** The same where nothing is parsed. */
  readonly nsPerReadUnparsed: number;
  /** CRC-32 of the canvas. */
  readonly checksum: string;
}

/** `rounds` times `reads` reads of each length, parsed and not by turns. */
export function benchEpollReceiver({
  reads,
  rounds,
}: {
  readonly reads: number;
  readonly rounds: number;
}): EpollReceiverFigures[] {
  return COMMANDS.map((commands) => {
    const text = makeCommands(commands);
    const parsed = openSide(text, (kernel) => kernel);
    const unparsed = openSide(text, parseNothing);
    for (let round = 0; round < rounds; round += 1) for (const side of [parsed, unparsed]) side.run(reads);
    const figures = {
      bytes: text.length,
      nsPerRead: parsed.medianNs(),
      nsPerReadUnparsed: unparsed.medianNs(),
      checksum: Bun.hash.crc32(parsed.rig.framebuffer.bytes).toString(16).padStart(8, "0"),
    };
    for (const { rig } of [parsed, unparsed]) rig.close();
    return figures;
  });
}

function openSide(text: Uint8Array, wrapKernel: (kernel: Kernel) => Kernel) {
  const rig = new EpollRig({ width: WIDTH, height: HEIGHT, wrapKernel });
  const player = rig.connect();
  const roundsNs: number[] = [];
  return {
    rig,
    run(reads: number): void {
      const startMs = performance.now();
      for (let read = 0; read < reads; read += 1) player.send(text);
      roundsNs.push(((performance.now() - startMs) * 1e6) / reads);
      const { receivedBytes } = rig.counted();
      const expected = roundsNs.length * reads * text.length;
      if (receivedBytes !== expected) throw new Error(`Received ${receivedBytes} bytes of ${expected}`);
    },
    medianNs: (): number =>
      Math.round(roundsNs.toSorted((one, two) => one - two)[Math.floor(roundsNs.length / 2)] ?? 0),
  };
}

function parseNothing(kernel: Kernel): Kernel {
  return { ...kernel, parse: (_, __, end) => end, repliesLength: () => 0 };
}

function makeCommands(count: number): Uint8Array {
  const lines = Array.from({ length: count }, (_, index) => {
    const [x, y] = [index % WIDTH, Math.floor(index / WIDTH) % HEIGHT];
    return `PX ${x} ${y} ${(index * 997).toString(16).padStart(6, "0")}\n`;
  });
  return new TextEncoder().encode(lines.join(""));
}

if (import.meta.main) {
  console.table(benchEpollReceiver({ reads: Number(process.argv[2] ?? 20_000), rounds: 7 }));
}
