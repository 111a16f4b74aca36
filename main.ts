/**
 * The command line: `start` supervises a server, an origin and edges; `server`, `origin`, `edge` and `bench` run
 * one of them alone. A role's code is loaded only when it runs, so an edge never needs the encoder.
 */
import { randomBytes } from "node:crypto";
import { systemClock, type Clock } from "#common/clock.ts";
import { commonOptions, CONFIGURED_VARIABLE, readConfigWithOrigin, wantsHelp } from "#common/config.ts";
import { describeError, EXIT_STATUS, exitStatusOf, OptionError } from "#common/errors.ts";
import { runUntilStopped, type Lifecycle } from "#common/lifecycle.ts";
import { hostOfBind, isLoopbackAddress } from "#common/listen.ts";
import { createLog, silentLog, type Log } from "#common/log.ts";
import { renderHelp } from "#common/option-docs.ts";
import { environmentName, integer, PORT_MAX, type ConfigOf, type OptionSet } from "#common/options.ts";
import type { CopyOf, RoleContext, RoleCopy } from "#common/role.ts";
import {
  NODE_NAME_VARIABLE,
  SUPERVISED_VARIABLE,
  SupervisedChild,
  TASK_VARIABLE,
} from "#common/supervised-child.ts";
import { TlsFiles } from "#common/tls-files.ts";
import { wantsTls, type TlsSource } from "#common/tls.ts";
import { secondsToMs } from "#common/units.ts";
import { edgeOptions } from "./edge/config.ts";
import { originOptions } from "./origin/config.ts";
import { serverOptions } from "./server/config.ts";

/** Options of `start` itself; it takes those of all its children too. */
export const supervisorOptions = {
  edges: integer({ table: "top", description: "Edges that `start` runs.", default: 2, min: 0, max: 64 }),
} satisfies OptionSet;

const startOptions = {
  ...supervisorOptions,
  ...commonOptions,
  ...serverOptions,
  ...originOptions,
  ...edgeOptions,
} satisfies OptionSet;

type StartConfig = ConfigOf<typeof startOptions>;

/** How long the children may take to end together, beside the edges' `--drain-seconds`. */
const START_CLOSE_MS_MAX = 4_700;
/** `--drain-seconds` under `start`, where nobody is left to go to: players get what is under way. */
const START_DRAIN_SECONDS = 3;
/** How long an edge may take to end after that. */
const EDGE_STOP_MS_MAX = 1_400;

/** npm and Bun set this for the scripts of package.json. */
const isPackageScript = process.env["npm_lifecycle_event"] !== undefined;

interface Command {
  readonly summary: string;
  readonly options: OptionSet;
  readonly run: (args: readonly string[]) => Promise<void>;
}

/** Every command by name. The option table of the README is made from it. */
export const commands = {
  start: {
    summary: "Runs everything: a server, an origin and edges, each restarted when it dies.",
    options: startOptions,
    run: runStart,
  },
  server: role("server", serverOptions, {
    summary: "Takes pixels over TCP, keeps the canvas and encodes it into the feed.",
    load: async () => (await import("./server/main.ts")).main,
  }),
  origin: role("origin", originOptions, {
    summary: "Cuts a feed into Low-Latency HLS, HLS and MPEG-TS, and hands viewers to edges.",
    load: async () => (await import("./origin/main.ts")).main,
  }),
  edge: role("edge", edgeOptions, {
    summary: "Caches and relays an origin for the viewers nearby, and serves the viewer page.",
    facesViewers: true,
    load: async () => (await import("./edge/main.ts")).main,
  }),
  bench: {
    summary:
      "Measures and checks: pixels, compare, viewers, held, cache, check, soak, relay, latency, players, cache-tests, encode. See bench --help.",
    options: {},
    run: async (args: readonly string[]) => (await import("./bench/main.ts")).main(args),
  },
} satisfies Record<string, Command>;

function role<Set extends OptionSet>(
  name: string,
  own: Set,
  about: {
    readonly summary: string;
    /** Under `start` these alone show the certificate; the others are behind them on loopback. */
    readonly facesViewers?: boolean;
    readonly load: () => Promise<
      (context: RoleContext<ConfigOf<typeof commonOptions & Set>>) => Promise<void>
    >;
  },
): Command {
  const options = { ...commonOptions, ...own };
  return {
    summary: about.summary,
    options,
    run(args) {
      const sources = { args, env: process.env, known: startOptions };
      const { config, given } = readConfigWithOrigin(options, sources);
      // Every role has the common options; the compiler does not see that through the generic set.
      const common = config as ConfigOf<typeof commonOptions>;
      const node = process.env[NODE_NAME_VARIABLE] ?? name;
      const log = logFor(node, common);
      const isSupervised = process.env[SUPERVISED_VARIABLE] !== undefined;
      const isPlain = isSupervised && about.facesViewers !== true;
      const tls = isPlain ? undefined : openTls(common, log);
      return runUntilStopped(
        async (lifecycle) => {
          if (tls !== undefined) keepTls(tls, lifecycle);
          const main = await about.load();
          const isStopping = (): boolean => lifecycle.isStopping;
          const supervise = (copy: RoleCopy): SupervisedChild => {
            const child = superviseCopy(copy, { role: name, node, given, log, isStopping });
            if (tls !== undefined) onHangUp(() => child.signal("SIGHUP"));
            return child;
          };
          await main({ config, lifecycle, log, tls, onListening, supervise, copyOf: readCopyOf() });
        },
        { log, isSupervised, endsWithParent: isPackageScript && !isSupervised },
      );
    },
  };
}

function openTls(config: ConfigOf<typeof commonOptions>, log: Log): TlsFiles | undefined {
  return wantsTls(config) ? new TlsFiles({ paths: config, clock: systemClock, log }) : undefined;
}

/** Has another certificate taken up while the node runs. */
function keepTls(tls: TlsFiles, lifecycle: Lifecycle): void {
  tls.watch();
  lifecycle.onClose("certificate", () => tls.close());
  onHangUp(() => tls.reload());
}

/** From a terminal SIGHUP says that it was closed, which ends the process as ever; else that something is to be read again. */
function onHangUp(reload: () => void): void {
  if (!process.stdin.isTTY) process.on("SIGHUP", reload);
}

function onListening(ports: Readonly<Record<string, number>>): void {
  process.send?.({ type: "listening", ports });
}

interface CopySource {
  readonly role: string;
  readonly node: string;
  /** As in {@link Supervision}. */
  readonly given: ReadonlyMap<string, readonly string[]>;
  readonly log: Log;
  readonly isStopping: () => boolean;
}

function superviseCopy(copy: RoleCopy, { role, node, given, log, isStopping }: CopySource): SupervisedChild {
  const { name, task, ...handling } = copy;
  return new SupervisedChild({
    ...handling,
    name: `${node} ${name}`,
    command: [import.meta.path, role],
    env: { ...settingsFor(given), [TASK_VARIABLE]: task },
    log,
    clock: systemClock,
    isStopping,
  });
}

/** The environment of a child that is to have the settings of this process. */
function settingsFor(given: ReadonlyMap<string, readonly string[]>): Record<string, string | undefined> {
  return {
    ...process.env,
    ...environmentOf(Object.fromEntries([...given].map(([name, texts]) => [name, texts.join(",")]))),
    // All that the file says is among those: a mistake saved into it later must not end a child at its next restart.
    [CONFIGURED_VARIABLE]: "1",
  };
}

function readCopyOf(): CopyOf | undefined {
  const task = process.env[TASK_VARIABLE];
  if (task === undefined) return undefined;
  return {
    task,
    send: (message) => void (process.connected && process.send?.(message)),
    listen: (onMessage) => void process.on("message", onMessage),
  };
}

function logFor(node: string, config: Pick<StartConfig, "logLevel" | "logFormat">): Log {
  return createLog({ node, level: config.logLevel, format: config.logFormat });
}

function runStart(args: readonly string[]): Promise<void> {
  const { config, given } = readConfigWithOrigin(startOptions, {
    args,
    env: process.env,
    known: startOptions,
  });
  const lastPort = config.edgePort + config.edges - 1;
  if (lastPort > PORT_MAX) {
    throw new OptionError(
      `Bad value for --edge-port: edge ${config.edges} would get port ${lastPort}, expected at most ${PORT_MAX}`,
    );
  }
  if (config.publicUrl !== "" && config.edges > 1) {
    throw new OptionError(
      `Option --public-url ${config.publicUrl} is one edge's, and --edges is ${config.edges}: expected --edges 1, and the others started alone with URLs of their own`,
    );
  }
  // The edges read the files again, and warn of what they find.
  const tls = openTls(config, silentLog);
  if (tls !== undefined && config.edges === 0) {
    throw new OptionError("Option --tls-cert is for the edges of `start`, and --edges is 0");
  }
  const log = logFor("start", config);
  const supervision = { config, given, tls, log, clock: systemClock };
  return runUntilStopped((lifecycle) => superviseAll({ ...supervision, lifecycle }), {
    log,
    isSupervised: false,
    endsWithParent: isPackageScript,
    closeMsMax: START_CLOSE_MS_MAX,
  });
}

interface Supervision {
  readonly config: StartConfig;
  /** Texts of the options that were set anywhere: children read them from their environment. */
  readonly given: ReadonlyMap<string, readonly string[]>;
  /** What the edges show. */
  readonly tls: TlsSource | undefined;
  readonly lifecycle: Lifecycle;
  readonly log: Log;
  readonly clock: Clock;
}

/** Starts the children in the order of the data flow; they are ended in the opposite order, edges first. */
async function superviseAll({ config, given, tls, lifecycle, log, clock }: Supervision): Promise<void> {
  const shared = {
    ...environmentOf({ "cluster-secret": randomBytes(32).toString("hex") }),
    ...settingsFor(given),
  };
  /** `links` follow from the other children's ports and yield to what a person gave; `own` is this child's alone. */
  const supervise = (child: ChildPlan): SupervisedChild =>
    new SupervisedChild({
      name: child.name,
      command: [import.meta.path, child.command],
      env: { ...environmentOf(child.links ?? {}), ...shared, ...environmentOf(child.own ?? {}) },
      log,
      clock,
      isStopping: () => lifecycle.isStopping,
      ...(child.stopMsMax !== undefined && { stopMsMax: child.stopMsMax }),
    });

  const server = supervise({ name: "server", command: "server" });
  lifecycle.onClose("server", () => server.close());
  await server.start();
  const feed = `http://${hostOfBind(config.serverBind)}:${server.ports["server-port"]}/feed.mp4`;
  const origin = supervise({ name: "origin", command: "origin", links: { source: feed } });
  lifecycle.onClose("origin", () => origin.close());
  await origin.start();
  const upstream = `http://${hostOfBind(config.originBind)}:${origin.ports["origin-port"]}`;

  const drainMs = secondsToMs(given.has("drain-seconds") ? config.drainSeconds : START_DRAIN_SECONDS);
  lifecycle.allowClosing(drainMs);
  const edges = Array.from({ length: config.edges }, (_, index) =>
    supervise({
      name: `edge ${index + 1}`,
      command: "edge",
      links: { upstream, "drain-seconds": String(START_DRAIN_SECONDS) },
      stopMsMax: EDGE_STOP_MS_MAX + drainMs,
      own: { "edge-port": String(config.edgePort === 0 ? 0 : config.edgePort + index) },
    }),
  );
  if (tls !== undefined) onHangUp(() => edges.forEach((edge) => edge.signal("SIGHUP")));
  lifecycle.onClose("edges", async () => void (await Promise.all(edges.map((edge) => edge.close()))));
  await Promise.all(edges.map((edge) => edge.start()));
  process.stdout.write(
    `${welcome({ config, edgeScheme: tls === undefined ? "http" : "https", server, origin, edges })}\n`,
  );
}

interface ChildPlan {
  readonly name: string;
  readonly command: string;
  readonly links?: Readonly<Record<string, string>>;
  readonly own?: Readonly<Record<string, string>>;
  /** How long it may take to end. Default: {@link SupervisedChild}'s. */
  readonly stopMsMax?: number;
}

function environmentOf(settings: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [environmentName(name), value]));
}

interface Running {
  readonly config: StartConfig;
  readonly edgeScheme: "http" | "https";
  readonly server: SupervisedChild;
  readonly origin: SupervisedChild;
  readonly edges: readonly SupervisedChild[];
}

/** What a person needs next: where to paint and where to look. */
function welcome({ config, edgeScheme, server, origin, edges }: Running): string {
  const edgeHost = hostFor(config.edgeBind);
  const pages = edges.map((edge) => `${edgeScheme}://${edgeHost}:${edge.ports["edge-port"]}`);
  const serverUrl = `http://${hostFor(config.serverBind)}:${server.ports["server-port"]}`;
  const originUrl = `http://${hostFor(config.originBind)}:${origin.ports["origin-port"]}`;
  // nc takes an IPv6 address as it is, without the brackets of URLs.
  const players = `${withoutBrackets(hostFor(config.pixelflutBind))} ${server.ports["pixelflut-port"]}`;
  return [
    "",
    "Spillway is running. Stop it with Ctrl-C.",
    `  paint    echo "PX 10 10 ff0000" | nc -w 1 ${players}`,
    ...(pages.length === 0 ? [] : [`  watch    ${pages.map((page) => `${page}/`).join("  ")}`]),
    `  play     ${pages[0] ?? originUrl}/live/${config.stream}/index.m3u8`,
    `  metrics  ${[serverUrl, originUrl, ...pages].map((url) => `${url}/metrics`).join("  ")}`,
    "",
  ].join("\n");
}

/** How a person at this machine reaches an address that was bound. */
function hostFor(bind: string): string {
  const host = hostOfBind(bind);
  return isLoopbackAddress(withoutBrackets(host)) ? "localhost" : host;
}

function withoutBrackets(host: string): string {
  return host.replace(/^\[|\]$/g, "");
}

function usage(): string {
  const names = Object.keys(commands);
  const width = Math.max(...names.map((name) => name.length)) + 2;
  return [
    "Usage: bun run <command> -- [options], or npm run <command> -- [options]",
    "",
    ...Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}${summary}`),
    "",
    "<command> -- --help lists a command's options.",
  ].join("\n");
}

/** Runs the command that `args` name. Returns the exit status where the command does not end the process itself. */
async function runCommand([name = "", ...args]: readonly string[]): Promise<number> {
  if (name === "" || name === "help" || name === "--help" || name === "-h") {
    process.stdout.write(`${usage()}\n`);
    return name === "" ? EXIT_STATUS.usage : EXIT_STATUS.ok;
  }
  const command = Object.hasOwn(commands, name) ? commands[name as keyof typeof commands] : undefined;
  if (command === undefined)
    throw new OptionError(`Unknown command: ${name} (one of ${Object.keys(commands).join(", ")})`);
  if (wantsHelp(args) && name !== "bench") {
    const page = {
      usage: `bun run ${name} -- [options]`,
      summary: command.summary,
      options: command.options,
    };
    process.stdout.write(`${renderHelp(page)}\n`);
    return EXIT_STATUS.ok;
  }
  await command.run(args);
  return EXIT_STATUS.ok;
}

if (import.meta.main) {
  try {
    process.exitCode = await runCommand(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`spillway: ${describeError(error)}\n`);
    process.exit(exitStatusOf(error));
  }
}
