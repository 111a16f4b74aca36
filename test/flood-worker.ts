/** A thread that floods a Pixelflut port from one address through a number of connections, until it is terminated. */
import { connect } from "node:net";

declare const self: Worker;

/** What to send, again and again, and from where. The thread answers `true` once all connections are open. */
export interface FloodOrder {
  readonly port: number;
  /** Of this machine. */
  readonly from: string;
  readonly connections: number;
  /** Whole commands. */
  readonly bytes: Uint8Array;
}

self.addEventListener("message", ({ data }: MessageEvent<FloodOrder>) => {
  void flood(data).then(() => self.postMessage(true, []));
});

async function flood({ port, from, connections, bytes }: FloodOrder): Promise<void> {
  const host = from.includes(":") ? "::1" : "127.0.0.1";
  const opening = Array.from({ length: connections }, () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const socket = connect({ port, host, localAddress: from }, resolve);
    const send = (): void => {
      while (!socket.destroyed && socket.write(bytes));
    };
    socket.on("connect", send);
    socket.on("drain", send);
    // The test looks at what the server counts, so a connection that breaks shows there.
    socket.on("error", () => socket.destroy());
    return promise;
  });
  await Promise.all(opening);
}
