/** The connection that a request came over, as far as Bun and the system tell of it. */
import { isHttp3 } from "#common/http3-side.ts";
import { IDLE_TIMEOUT_SECONDS } from "#common/listen.ts";
import type { SendQueues } from "./send-queues.ts";

/** What is known of it while the request is being answered. */
export interface ViewerConnection {
  readonly isHttp3: boolean;
  /** True until the request has been answered to its end. */
  isOpen(): boolean;
  /**
   * Bytes that the peer has not acknowledged; `undefined` where the system does not say. Changes as soon as the peer takes
   * something: Bun tells of it only once a whole write has found room, behind some megabytes of the system's own.
   */
  unsentBytes(): Promise<number | undefined>;
  /** Begins the connection's idle timeout anew: Bun closes one whose socket it has seen full for as long. */
  keepOpen(): void;
}

/** For answers too small for it to matter how long they are being sent. */
export const UNWATCHED: ViewerConnection = {
  isHttp3: false,
  isOpen: () => false,
  unsentBytes: () => Promise.resolve(undefined),
  keepOpen: () => {},
};

/** A request's own. Bun knows a request's peer until it is answered to its end. */
export class RequestConnection implements ViewerConnection {
  readonly #request: Request;
  readonly #server: Bun.Server<undefined>;
  readonly #queues: SendQueues;

  /** @param request as Bun gave it */
  constructor(request: Request, server: Bun.Server<undefined>, queues: SendQueues) {
    this.#request = request;
    this.#server = server;
    this.#queues = queues;
  }

  get isHttp3(): boolean {
    return isHttp3(this.#server);
  }

  isOpen(): boolean {
    return this.#server.requestIP(this.#request) !== null;
  }

  async unsentBytes(): Promise<number | undefined> {
    const peer = this.#server.requestIP(this.#request);
    const { port } = this.#server;
    return peer === null || port === undefined ? undefined : this.#queues.unsentBytes(port, peer);
  }

  keepOpen(): void {
    this.#server.timeout(this.#request, IDLE_TIMEOUT_SECONDS);
  }
}
