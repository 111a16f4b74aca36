/**
 * The shape that `main.ts` knows of a role: its options and how to start it. Supervised children tell the
 * supervisor what they opened over the IPC channel of `Bun.spawn`.
 */
import type { Lifecycle } from "#common/lifecycle.ts";
import type { Log } from "#common/log.ts";
import type { Tls } from "#common/tls.ts";

/** What a node opened, as told to the supervisor and the log: ports are the real ones where 0 was asked. */
export interface Listening {
  readonly type: "listening";
  /** Ports by option name, such as `{"edge-port": 8081}`. */
  readonly ports: Readonly<Record<string, number>>;
}

/** What each role's `main` gets. */
export interface RoleContext<Config> {
  readonly config: Config;
  readonly lifecycle: Lifecycle;
  readonly log: Log;
  /** What the node's HTTP side shows to clients; `undefined` for plain HTTP. */
  readonly tls?: Tls | undefined;
  /** To be called once, when the node's sockets are open. */
  readonly onListening: (ports: Listening["ports"]) => void;
}
