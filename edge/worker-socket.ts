/**
 * The Unix socket on which an edge's hub answers its workers, in a folder that nobody else may enter. A hub that was
 * killed leaves its folder behind; the next one that starts removes it.
 */
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errorCode, StartError } from "#common/errors.ts";
import { IDLE_TIMEOUT_SECONDS } from "#common/listen.ts";
import { failureResponse } from "#common/node-http.ts";
import type { EdgeFetch } from "./http.ts";

const FOLDER_PREFIX = "spillway-edge-";
const SOCKET_NAME = "hub";
/** A folder without a socket may be that of a hub that is just starting. */
const SETTLED_MS = 60_000;

/** The place of a socket, and the socket once it is open. */
export class WorkerSocket {
  readonly path: string;
  readonly #folder: string;
  #server: Bun.Server<undefined> | undefined;

  /**
   * Makes the folder, and removes those of hubs that were killed.
   *
   * @param parent folder for temporary files
   */
  static async create(parent = tmpdir()): Promise<WorkerSocket> {
    try {
      await removeAbandoned(parent);
      return new WorkerSocket(mkdtempSync(join(parent, FOLDER_PREFIX)));
    } catch (error) {
      throw new StartError("worker-socket", `Cannot make a folder for a socket in ${parent}`, {
        cause: error,
      });
    }
  }

  private constructor(folder: string) {
    this.#folder = folder;
    this.path = join(folder, SOCKET_NAME);
  }

  /** Opens the socket. `onError` is told what `fetch` threw, which is answered with 500. */
  listen(fetch: EdgeFetch, onError: (error: unknown) => void): void {
    // Bun's types deny sockets the time limit, which is obeyed all the same, and is 10 s without.
    const idleTimeout = IDLE_TIMEOUT_SECONDS as never;
    this.#server = Bun.serve({
      unix: this.path,
      idleTimeout,
      development: false,
      fetch,
      error(error) {
        onError(error);
        return failureResponse();
      },
    });
  }

  /** Ends every connection and removes the folder. */
  async close(): Promise<void> {
    await this.#server?.stop(true);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function removeAbandoned(parent: string): Promise<void> {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(FOLDER_PREFIX)) continue;
    const folder = join(parent, name);
    if (await isAbandoned(folder)) rmSync(folder, { recursive: true, force: true });
  }
}

async function isAbandoned(folder: string): Promise<boolean> {
  const status = lstatSync(folder, { throwIfNoEntry: false });
  if (status?.isDirectory() !== true || status.uid !== process.getuid?.()) return false;
  const path = join(folder, SOCKET_NAME);
  const state = await stateOf(path);
  if (state === "missing") return Date.now() - status.mtimeMs > SETTLED_MS;
  // A hub whose queue is full refuses as well.
  return state === "refuses" && !isListed(path);
}

/** True for a socket that a process of this system has open. proc(5): the path is the last field. */
function isListed(path: string): boolean {
  try {
    return readFileSync("/proc/net/unix", "utf8").includes(` ${path}\n`);
  } catch {
    // Not Linux, or /proc is hidden.
    return false;
  }
}

async function stateOf(path: string): Promise<"answers" | "refuses" | "missing"> {
  try {
    const socket = await Bun.connect({ unix: path, socket: { data() {} } });
    socket.terminate();
    return "answers";
  } catch (error) {
    return errorCode(error) === "ECONNREFUSED" ? "refuses" : "missing";
  }
}
