/**
 * Receives players through `Bun.listen`, one listener a thread on the same port (SO_REUSEPORT): the path that works on
 * every system. The kernel deals connections to threads by hash.
 */
import type { Socket } from "bun";
import type { Clock } from "#common/clock.ts";
import { errorCode } from "#common/errors.ts";
import { Connection, KEEP_ALIVE_MS, type ConnectionContext, type Peer } from "./connection.ts";
import { ListenDoor, type ListenPlayer } from "./listen-door.ts";
import type { ParserState } from "./pixelflut-parser.ts";
import { ReceivePacer } from "./receive-pacer.ts";
import type { Receiver, ReceiverOptions } from "./receiver.ts";

/** How often connections with a deadline are looked at. */
const DEADLINE_CHECK_MS = 1_000;

/** Codes of the system's errors, such as `ECONNRESET`. Node's and Bun's own, such as `ERR_INVALID_THIS`, are none. */
const SYSTEM_CODE = /^E[A-Z]+$/;

/** Lets every thread listen on the same port. Bun's types have it for other sockets only, hence no literal below. */
const SHARED_PORT = { reusePort: true };

/** Opens the port. Throws what `Bun.listen` throws where it cannot. */
export function openListenReceiver<State extends ParserState>(options: ReceiverOptions<State>): Receiver {
  const { parser, counters, admission, onFault } = options;
  const guarded = guardBy(options.safePoint);
  const clock: Clock = {
    wallMs: () => options.clock.wallMs(),
    monotonicMs: () => options.clock.monotonicMs(),
    after: (delayMs, callback) => options.clock.after(delayMs, guarded(callback)),
  };
  const nextRound = (callback: () => void): void => void setImmediate(guarded(callback));
  const context = contextOf({ ...options, clock }, nextRound);
  const door = new ListenDoor({
    admission,
    counters,
    monotonicMs: context.monotonicMs,
    open: (peer, prefix) => new Connection(context, peer, prefix),
  });
  const listener = Bun.listen<ListenPlayer>({
    hostname: options.hostname,
    port: options.port,
    ...SHARED_PORT,
    allowHalfOpen: true,
    socket: {
      open: guarded((socket) => {
        // Replies are batched per read already: waiting for more would only delay them.
        socket.setNoDelay(true);
        socket.setKeepAlive(true, KEEP_ALIVE_MS);
        socket.data = door.enter(peerOf(socket), socket.remoteAddress);
      }),
      data: guarded((socket, bytes) => socket.data.handler.receive(bytes)),
      drain: guarded((socket) => socket.data.handler.drain()),
      end: guarded((socket) => socket.data.handler.finish()),
      close: guarded((socket) => door.leave(socket.data)),
      error: guarded((socket, error) => {
        // Whatever was being answered: nobody else may get it.
        parser.replies.clear();
        // Errors of the network arrive here as well as at `close`; what has no system code was thrown by us.
        if (SYSTEM_CODE.test(errorCode(error) ?? "")) return;
        counters.add("faults", 1);
        onFault(error);
        socket.terminate();
      }),
    },
  });
  const checkDeadlines = (): void => {
    const nowMs = clock.monotonicMs();
    for (const connection of context.watched) connection.checkDeadline(nowMs);
    door.checkDeadlines(nowMs);
    cancel = clock.after(DEADLINE_CHECK_MS, checkDeadlines);
  };
  let cancel = clock.after(DEADLINE_CHECK_MS, checkDeadlines);
  return {
    port: listener.port,
    close: guarded(() => {
      cancel();
      context.pacer?.close();
      listener.stop(true);
    }),
  };
}

/** Has callbacks touch nothing while all threads have to pause. One may run within another: a socket closes in a read. */
function guardBy(safePoint: ReceiverOptions<ParserState>["safePoint"]) {
  let depth = 0;
  return <Args extends readonly unknown[]>(callback: (...args: Args) => void) =>
    (...args: Args): void => {
      if (depth === 0) safePoint?.enter();
      depth += 1;
      try {
        callback(...args);
      } finally {
        depth -= 1;
        if (depth === 0) safePoint?.leave();
      }
    };
}

function contextOf<State extends ParserState>(
  options: ReceiverOptions<State>,
  nextRound: (callback: () => void) => void,
): ConnectionContext<State> {
  const { parser, counters, clock, viewers, admission } = options;
  const context = {
    parser,
    counters,
    monotonicMs: () => clock.monotonicMs(),
    viewers,
    held: { bytes: 0 },
    watched: new Set<Connection<State>>(),
  };
  if (admission === undefined) return context;
  const { shares, fairShare, idleMs, idleReply } = admission;
  return {
    ...context,
    pacer: new ReceivePacer({ shares, fairShare, clock, counters, nextRound }),
    ...(Number.isFinite(idleMs) ? { idle: { ms: idleMs, reply: idleReply } } : {}),
  };
}

function peerOf(socket: Socket<unknown>): Peer {
  return {
    get localAddress() {
      return socket.localAddress;
    },
    write: (bytes) => socket.write(bytes),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    finish: () => socket.shutdown(),
    // Before the peer's FIN this would answer its next byte with RST, and it could lose our last replies.
    close: () => void socket.end(),
    terminate: () => socket.terminate(),
  };
}
