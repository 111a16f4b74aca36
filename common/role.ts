/**
 * The shape that `main.ts` knows of a role: its options and how to start it. Supervised children tell the
 * supervisor what they opened over the IPC channel of `Bun.spawn`.
 */
import type { Lifecycle } from "#common/lifecycle.ts";
import type { Log } from "#common/log.ts";
import type { SupervisedChild } from "#common/supervised-child.ts";
import type { TlsSource } from "#common/tls.ts";

/** What a node opened, as told to the supervisor and the log: ports are the real ones where 0 was asked. */
export interface Listening {
  readonly type: "listening";
  /** Ports by option name, such as `{"edge-port": 8081}`. */
  readonly ports: Readonly<Record<string, number>>;
}

/** A further process of the same role with the same settings, as its first process wants it. */
export interface RoleCopy {
  /** What its log lines carry after the name of the first: `worker 2`. */
  readonly name: string;
  /** What it is told beside its settings: {@link CopyOf.task}. */
  readonly task: string;
  readonly stopMsMax: number;
  readonly onMessage: (message: unknown) => void;
  readonly onExit: () => void;
}

/** What `supervise` makes. */
export type RoleChild = Pick<SupervisedChild, "start" | "pin" | "ports" | "send" | "kill" | "close">;

/** For a process that another one of its role has started: what for, and how the two talk. */
export interface CopyOf {
  readonly task: string;
  readonly send: (message: object) => void;
  /** To be called once. */
  readonly listen: (onMessage: (message: unknown) => void) => void;
}

/** What each role's `main` gets. */
export interface RoleContext<Config> {
  readonly config: Config;
  readonly lifecycle: Lifecycle;
  readonly log: Log;
  /** What the node's HTTP side shows to clients; `undefined` for plain HTTP. */
  readonly tls?: TlsSource | undefined;
  /** Makes a supervised child of this same role; it is not started yet. Absent where no process may be started. */
  readonly supervise?: (copy: RoleCopy) => RoleChild;
  /** Set in a child that `supervise` made. */
  readonly copyOf?: CopyOf | undefined;
  /** To be called once, when the node's sockets are open. */
  readonly onListening: (ports: Listening["ports"]) => void;
}
