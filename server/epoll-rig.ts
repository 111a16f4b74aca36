/**
 * A receive path of Linux that runs in the caller's thread, with players at the other ends of socket pairs: for tests
 * and benchmarks. What a player sends at once arrives as one read, exactly.
 */
import { Admission, OPEN_ADMISSION, type AdmissionRules } from "./admission.ts";
import { sumCounters, type CounterTotals } from "./counters.ts";
import { OwnedEpollGroup } from "./epoll-group.ts";
import { EpollReceiver, type EpollReceiverOptions } from "./epoll-receiver.ts";
import { createFramebuffer, type Framebuffer } from "./framebuffer.ts";
import { loadKernel, openKernel, type Kernel } from "./kernel.ts";
import { addressOf, LinuxSockets } from "./linux-sockets.ts";
import { THREADS_MAX } from "./memory-layout.ts";
import type { ProtocolOptions } from "./pixelflut-parser.ts";
import { PlayerShares } from "./player-shares.ts";

/** Bytes that a player sends or takes at a time. */
const PLAYER_BYTES = 1024 * 1024;

const module = process.platform === "linux" ? await loadKernel() : undefined;

export interface EpollRigOptions extends Partial<
  Pick<EpollReceiverOptions, "clock" | "holdBlocksMax" | "onExhausted">
> {
  readonly width?: number;
  readonly height?: number;
  /** Receivers that take turns in this one thread. */
  readonly threads?: number;
  readonly connectionsMax?: number;
  readonly protocol?: ProtocolOptions;
  readonly admission?: AdmissionRules;
  /** Takes the place of the kernel, given the real one. */
  readonly wrapKernel?: (kernel: Kernel) => Kernel;
}

export class EpollRig {
  readonly framebuffer: Framebuffer;
  readonly group: OwnedEpollGroup;
  readonly sockets = new LinuxSockets();
  readonly receivers: readonly EpollReceiver[];
  /** The main thread's. */
  readonly shares: PlayerShares;
  /** Exceptions that were reported. */
  readonly faults: string[] = [];
  readonly #players = new Set<RigPlayer>();

  constructor(options: EpollRigOptions = {}) {
    const { width = 64, height = 48, threads = 1, connectionsMax = 64, admission = OPEN_ADMISSION } = options;
    const framebuffer = createFramebuffer({ width, height, threads, connectionsMax });
    this.framebuffer = framebuffer;
    this.shares = new PlayerShares(framebuffer, THREADS_MAX, admission.limits);
    this.group = new OwnedEpollGroup({ framebuffer, hostname: "127.0.0.1", port: 0, shares: this.shares });
    this.receivers = Array.from({ length: threads }, (_, thread) => this.#openReceiver(options, thread));
  }

  /** A player from an address of 16 bytes, let in by the first receiver. */
  connect(address = new Uint8Array(16)): RigPlayer {
    const [own, other] = this.sockets.createPair();
    const player = new RigPlayer(this, own);
    this.#players.add(player);
    this.receivers[0]?.adopt(other, address);
    return player;
  }

  /** Has the receivers do all that there is to do. */
  drain(): void {
    for (const receiver of this.receivers) receiver.drain();
  }

  counted(): CounterTotals {
    return sumCounters(this.framebuffer.counters);
  }

  forget(player: RigPlayer): void {
    this.#players.delete(player);
  }

  close(): void {
    for (const player of this.#players) player.close();
    this.group.close();
  }

  #openReceiver(options: EpollRigOptions, thread: number): EpollReceiver {
    const { framebuffer, sockets } = this;
    const { protocol = OPEN_PROTOCOL, admission = OPEN_ADMISSION, wrapKernel = (kernel) => kernel } = options;
    const counters = framebuffer.counters[thread];
    if (module === undefined || counters === undefined) throw new Error("Only Linux has this receive path");
    const shares = new PlayerShares(framebuffer, thread, admission.limits);
    return new EpollReceiver({
      onExhausted() {},
      clock: sockets,
      ...options,
      framebuffer,
      thread,
      group: this.group.group,
      sockets,
      kernel: wrapKernel(openKernel({ module, framebuffer, thread, protocol })),
      shares,
      admission: new Admission(shares, admission),
      counters,
      viewers: { url: "", port: 8081 },
      onFault: (error) => void this.faults.push(error.message),
    });
  }
}

const OPEN_PROTOCOL: ProtocolOptions = { alpha: "blend", outsideGets: "silent", isStrict: false };

/** The player's end of a socket pair. */
export class RigPlayer {
  readonly #rig: EpollRig;
  readonly #socket: number;
  readonly #buffer = new Uint8Array(new ArrayBuffer(PLAYER_BYTES));
  readonly #address = addressOf(this.#buffer);
  #isOpen = true;

  constructor(rig: EpollRig, socket: number) {
    this.#rig = rig;
    this.#socket = socket;
  }

  /** Sends and has it served. Returns how many bytes there was room for. */
  send(bytes: string | Uint8Array): number {
    const sent = this.put(bytes);
    this.#rig.drain();
    return sent;
  }

  /** Sends and leaves it at that. */
  put(bytes: string | Uint8Array): number {
    const source = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    this.#buffer.set(source);
    return Math.max(0, this.#rig.sockets.send(this.#socket, this.#address, source.length));
  }

  /** What has come, at most `length` bytes of it: text, or what a socket says when there is none, as 0 for FIN. */
  receive(length = PLAYER_BYTES): string | number {
    const count = this.#rig.sockets.receive(this.#socket, this.#address, length);
    return count > 0 ? Buffer.from(this.#buffer.buffer, 0, count).toString("latin1") : count;
  }

  /** Sends FIN and has it served. */
  finish(): void {
    this.#rig.sockets.finish(this.#socket);
    this.#rig.drain();
  }

  /** Closes and has it served. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#rig.forget(this);
    this.#rig.sockets.close(this.#socket);
    this.#rig.drain();
  }
}
