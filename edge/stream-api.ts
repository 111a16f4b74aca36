/**
 * `/api/v1/streams`: what is watched as `.ts` and what is off, open to all; and `POST …/<stream>/control?offline` or
 * `?online` for whoever has the admin token, which is restreamer's control with a method that no link can send.
 */
import type { Context } from "hono";
import { isAdmin } from "#common/admin-access.ts";
import type { Log } from "#common/log.ts";
import type { NodeApp } from "#common/node-http.ts";
import { type Admission, STREAMS_OFF_MAX, type StreamState } from "./admission.ts";

/** Paths that take POST. */
export const CONTROL_PATHS = /^\/api\/v1\/streams\/[A-Za-z0-9_-]{1,64}\/control$/;
const STREAMS_PATH = "/api/v1/streams";
const CONTROL_ROUTE = `${STREAMS_PATH}/:stream{[A-Za-z0-9_-]{1,64}}/control`;
const HEADERS = { "cache-control": "no-store" };

export interface StreamApiOptions {
  readonly admission: Admission;
  /** Empty: nothing can be switched. */
  readonly adminToken: string;
  readonly log: Log;
}

/** Adds the routes. Without an admin token there is no control. */
export function addStreamRoutes(app: NodeApp, options: StreamApiOptions): void {
  app.get(STREAMS_PATH, (context) => context.json(options.admission.list(), 200, HEADERS));
  if (options.adminToken === "") return;
  app.get(CONTROL_ROUTE, (context) => context.text("POST is expected\n", 405, { ...HEADERS, allow: "POST" }));
  app.post(CONTROL_ROUTE, (context) => control(context, options));
}

function control(context: Context, { admission, adminToken, log }: StreamApiOptions): Response {
  if (!isAdmin(context.req.header("authorization") ?? null, adminToken)) {
    return context.text("The admin token is expected\n", 401, { ...HEADERS, "www-authenticate": "Bearer" });
  }
  const state = readState(context);
  if (state === undefined) return context.text("?offline or ?online is expected\n", 400, HEADERS);
  const stream = context.req.param("stream") ?? "";
  if (!admission.set(stream, state)) {
    return context.text(`At most ${STREAMS_OFF_MAX} streams can be off\n`, 409, HEADERS);
  }
  log.info(`Stream switched ${state} by an admin`, { stream });
  return context.text("202 accepted\n", 202, HEADERS);
}

/** As restreamer has it, `offline` wins over `online`. */
function readState(context: Context): StreamState | undefined {
  if (context.req.query("offline") !== undefined) return "off";
  return context.req.query("online") === undefined ? undefined : "on";
}
