/** Options: precedence, every kind of bad input, and the pages made from declarations. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { commonOptions, readConfig, readConfigWithOrigin } from "#common/config.ts";
import { OptionError } from "#common/errors.ts";
import { renderHelp, renderOptionTable } from "#common/option-docs.ts";
import {
  choice,
  decimal,
  flag,
  httpUrl,
  httpUrls,
  httpUrlWithQuery,
  integer,
  port,
  secret,
  text,
  bindAddress,
  type OptionSet,
} from "#common/options.ts";

const folder = mkdtempSync(join(tmpdir(), "spillway-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const options = {
  config: commonOptions.config,
  "edge-port": port({ table: "edge", description: "Port.", default: 8081 }),
  "edge-bind": bindAddress({ table: "edge", description: "Address.", default: "::" }),
  "part-duration": decimal({ table: "origin", description: "Part.", default: 0.2, min: 0.1, max: 1 }),
  spread: choice({ table: "origin", description: "Spread.", choices: ["viewer", "off"], default: "viewer" }),
  upstream: httpUrls({ table: "edge", description: "Origins.", default: ["http://127.0.0.1:8080"] }),
  source: httpUrl({ table: "origin", description: "Feed.", default: "http://127.0.0.1:9001/feed.mp4" }),
  video: httpUrlWithQuery({ table: "origin", description: "Video.", default: "http://127.0.0.1/any.ts" }),
  region: text({
    table: "edge",
    description: "Region.",
    default: "",
    pattern: /^[a-z]+$/,
    allowed: "letters",
  }),
  "proxy-all": flag({ table: "edge", description: "Everything.", isLive: true }),
  "admin-token": secret({ table: "top", description: "Token." }),
} satisfies OptionSet;

const foreign = {
  ...options,
  width: integer({ table: "server", description: "Width.", default: 1280, min: 16, max: 16_384 }),
};

async function file(name: string, content: string): Promise<string> {
  const path = join(folder, name);
  await Bun.write(path, content);
  return path;
}

function read(args: readonly string[], env: Record<string, string> = {}): unknown {
  return readConfig(options, { args, env, known: foreign });
}

function refusal(args: readonly string[], env: Record<string, string> = {}): string {
  try {
    read(args, env);
  } catch (error) {
    if (error instanceof OptionError) return error.message;
    throw error;
  }
  return "accepted";
}

describe("readConfig()", () => {
  test("gives every option its default", () => {
    expect(read([])).toEqual({
      config: "",
      edgePort: 8081,
      edgeBind: "::",
      partDuration: 0.2,
      spread: "viewer",
      upstream: ["http://127.0.0.1:8080"],
      source: "http://127.0.0.1:9001/feed.mp4",
      video: "http://127.0.0.1/any.ts",
      region: "",
      proxyAll: false,
      adminToken: "",
    });
  });

  test("takes a flag before the environment before the file", async () => {
    const path = await file("order.toml", "[edge]\nport = 3\nregion = 'file'\nproxy-all = true\n");
    const env = { SPILLWAY_EDGE_PORT: "2", SPILLWAY_REGION: "env" };
    expect(read(["--config", path, "--edge-port=1"], env)).toMatchObject({
      edgePort: 1,
      region: "env",
      proxyAll: true,
    });
  });

  test("reads a repeatable option from flags, environment and file", async () => {
    const path = await file("list.toml", "[edge]\nupstream = ['http://a:1', 'http://b:2/']\n");
    expect(read(["--upstream", "http://a:1", "--upstream", "http://b:2/"])).toMatchObject({
      upstream: ["http://a:1", "http://b:2"],
    });
    expect(read([], { SPILLWAY_UPSTREAM: "http://a:1,http://b:2/" })).toMatchObject({
      upstream: ["http://a:1", "http://b:2"],
    });
    expect(read(["--config", path])).toMatchObject({ upstream: ["http://a:1", "http://b:2"] });
  });

  test("ignores what belongs to another role in environment and file", async () => {
    const path = await file("roles.toml", "[server]\nwidth = 640\n[origin]\nspread = 'off'\n");
    expect(read(["--config", path], { SPILLWAY_WIDTH: "320" })).toMatchObject({ spread: "off" });
  });

  test("tells which options were given", () => {
    const { given } = readConfigWithOrigin(options, {
      args: ["--region", "west"],
      env: { SPILLWAY_SPREAD: "off" },
      known: foreign,
    });
    expect([...given]).toEqual([
      ["spread", ["off"]],
      ["region", ["west"]],
    ]);
  });

  test.each([
    [["--edge-prot", "1"], "Unknown option: --edge-prot (--help lists them)"],
    [["--width", "640"], "Unknown option: --width (--help lists them)"],
    [["-x"], "Unknown option: -x (--help lists them)"],
    [["stray"], 'Unexpected argument: "stray"'],
    [["--edge-port"], "Option --edge-port needs a value: a whole number from 0 to 65535"],
    [["--edge-port", "70000"], 'Bad value for --edge-port: "70000", expected a whole number from 0 to 65535'],
    [["--edge-port", "8e3"], 'Bad value for --edge-port: "8e3", expected a whole number from 0 to 65535'],
    [["--edge-port="], 'Bad value for --edge-port: "", expected a whole number from 0 to 65535'],
    [["--part-duration", "nan"], 'Bad value for --part-duration: "nan", expected a number from 0.1 to 1'],
    [
      ["--edge-bind", "wall.local"],
      'Bad value for --edge-bind: "wall.local", expected an IP address or localhost',
    ],
    [["--spread", "all"], 'Bad value for --spread: "all", expected viewer or off'],
    [
      ["--admin-token", "short"],
      "Bad value for --admin-token: a secret, expected at least 16 printable characters",
    ],
    [["--proxy-all=maybe"], 'Bad value for --proxy-all: "maybe", expected true or false'],
    [
      ["--upstream", "ftp://a"],
      'Bad value for --upstream: "ftp://a", expected an http:// or https:// URL without user, query, fragment or comma',
    ],
    [
      ["--upstream", "https://me:pass@a/x?token=1"],
      'Bad value for --upstream: "https://…@a/x?…", expected an http:// or https:// URL without user, query, fragment or comma',
    ],
    [
      ["--video", "me:pass@a/any.ts?token=1"],
      'Bad value for --video: "…@a/any.ts?…", expected an http:// or https:// URL without user or fragment',
    ],
  ])("refuses %j", (args, message) => {
    expect(refusal(args)).toBe(message);
  });

  test.each(["http:8080", "http:a", "http:/a", "http://a?", "http://a#", "http://a,b"])(
    "refuses the URL %s, which a parser of URLs would take or shorten",
    (url) => {
      expect(refusal(["--upstream", url])).toStartWith(`Bad value for --upstream: "${url}`);
    },
  );

  test("names the environment variable that is unknown or wrong", () => {
    expect(refusal([], { SPILLWAY_EGDE_PORT: "1" })).toBe("Unknown environment variable: SPILLWAY_EGDE_PORT");
    expect(refusal([], { SPILLWAY_EDGE_PORT: "x" })).toBe(
      'Bad value for environment variable SPILLWAY_EDGE_PORT: "x", expected a whole number from 0 to 65535',
    );
  });

  test.each([
    ["top.toml", "prot = 1\n", "Unknown option prot in "],
    ["table.toml", "[egde]\nport = 1\n", "Unknown table [egde] in "],
    ["key.toml", "[edge]\nprot = 1\n", "Unknown option [edge] prot in "],
    ["role.toml", "[server]\nspread = 'off'\n", "Unknown option [server] spread in "],
    ["twice.toml", "edge-port = 1\n[edge]\nport = 2\n", "Option [edge] port stands twice in "],
    ["type.toml", "[edge]\nport = [1, 2]\n", "Bad value for [edge] port in "],
    ["syntax.toml", "[edge\n", "Configuration file "],
  ])("names what is wrong in %s", async (name, content, start) => {
    const path = await file(name, content);
    const message = refusal(["--config", path]);
    expect(message.startsWith(start)).toBe(true);
    expect(message).toContain(path);
  });

  test("names a configuration file that cannot be read", () => {
    expect(refusal(["--config", join(folder, "absent.toml")])).toBe(
      `Cannot read configuration file ${join(folder, "absent.toml")}`,
    );
  });
});

describe("pages", () => {
  test("renderHelp() shows flag, placeholder, text, default and notes", () => {
    const page = renderHelp({ usage: "edge", summary: "An edge.", options });
    expect(page).toContain("  --edge-port <port>\n      Port. (default: 8081)");
    expect(page).toContain("  --proxy-all\n      Everything. (default: off; live)");
    expect(page).toContain("Origins. (default: http://127.0.0.1:8080; repeatable)");
  });

  test("renderOptionTable() gives one row an option and never a secret's value", () => {
    const rows = renderOptionTable(options).split("\n");
    expect(rows).toHaveLength(2 + Object.keys(options).length);
    expect(rows.at(-1)).toBe(
      "| `--admin-token` | `SPILLWAY_ADMIN_TOKEN` | none (off) | Token. Allowed: at least 16 printable characters. |",
    );
  });
});
