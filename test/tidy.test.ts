/** The rules of the house that a machine can check: layout, imports, names, sizes. */
import { describe, expect, test } from "bun:test";
import { basename, dirname, join, normalize } from "node:path";

const ROOT = join(import.meta.dir, "..");
const NODES = ["server", "origin", "edge"] as const;
const TOP_LEVEL = [...NODES, "bench", "public", "common", "test"];
const LINES_MAX = 400;

const files = await trackedFiles();
const sources = files.filter((path) => path.endsWith(".ts"));
const texts = new Map(await Promise.all(sources.map(async (path) => [path, await readText(path)] as const)));

async function trackedFiles(): Promise<string[]> {
  const listing = Bun.spawn(["git", "ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
    stdout: "pipe",
  });
  const names = (await new Response(listing.stdout).text()).split("\n").filter((name) => name !== "");
  const present = await Promise.all(names.map((name) => Bun.file(join(ROOT, name)).exists()));
  return names.filter((_, index) => present[index]);
}

function readText(path: string): Promise<string> {
  return Bun.file(join(ROOT, path)).text();
}

function importsOf(path: string): string[] {
  const text = texts.get(path) ?? "";
  const specifiers = [...text.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)"([^"]+)"/g)].map(
    (match) => match[1] ?? "",
  );
  return specifiers.map((specifier) => {
    if (specifier.startsWith("#common/")) return specifier.slice(1);
    return specifier.startsWith(".") ? normalize(join(dirname(path), specifier)) : specifier;
  });
}

function offenders(isBad: (path: string) => boolean, among: readonly string[] = sources): string[] {
  return among.filter(isBad);
}

describe("layout", () => {
  test("there are source files to check", () => {
    expect(sources.length).toBeGreaterThan(30);
  });

  test("every node has main.ts config.ts metrics.ts http.ts", () => {
    const wanted = NODES.flatMap((node) =>
      ["main", "config", "metrics", "http"].map((name) => `${node}/${name}.ts`),
    );
    expect(wanted.filter((path) => !sources.includes(path))).toEqual([]);
  });

  test("source files stand in the known folders", () => {
    expect(offenders((path) => path !== "main.ts" && !TOP_LEVEL.includes(path.split("/")[0] ?? ""))).toEqual(
      [],
    );
  });

  test("file names are kebab-case and none is a catch-all", () => {
    const isBad = (path: string): boolean =>
      !/^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.bench|\.d)?\.ts$/.test(basename(path)) ||
      /(^|\/)(utils?|helpers?|shared|misc|index)(\.ts$|\/)/.test(path);
    expect(offenders(isBad)).toEqual([]);
  });

  test("every source file opens with what it is for", () => {
    expect(offenders((path) => !/^(#!.*\n)?\/\*\*/.test(texts.get(path) ?? ""))).toEqual([]);
  });

  test(`no source file is longer than ${LINES_MAX} lines`, () => {
    expect(offenders((path) => (texts.get(path)?.split("\n").length ?? 0) > LINES_MAX)).toEqual([]);
  });
});

describe("imports", () => {
  test("server, origin and edge never import each other, and common imports none of them", () => {
    const isBad = (path: string): boolean => {
      const folder = path.split("/")[0] ?? "";
      const isNode = NODES.some((node) => node === folder);
      if (!isNode && folder !== "common") return false;
      return importsOf(path).some((target) =>
        NODES.some((node) => node !== folder && target.startsWith(`${node}/`)),
      );
    };
    expect(offenders(isBad)).toEqual([]);
  });

  test("common imports nothing of the product but itself", () => {
    const isBad = (path: string): boolean =>
      path.startsWith("common/") &&
      importsOf(path).some((target) =>
        TOP_LEVEL.some((folder) => folder !== "common" && target.startsWith(`${folder}/`)),
      );
    expect(offenders(isBad)).toEqual([]);
  });

  test("only the server's encoder loads node-av", () => {
    const isBad = (path: string): boolean =>
      importsOf(path).some((target) => target === "node-av" || target.startsWith("node-av/")) &&
      !path.startsWith("server/encod");
    expect(offenders(isBad)).toEqual([]);
  });

  test("undici is imported past Bun's own shim", () => {
    // A type import is erased, so it cannot load the shim.
    const isBad = (path: string): boolean =>
      /^import (?!type )[^;]*from "undici";/m.test(texts.get(path) ?? "");
    expect(offenders(isBad)).toEqual([]);
  });

  test("bun:ffi is used in one file of a folder at most, and only by the server and the load scripts", () => {
    const folders = offenders((path) => importsOf(path).includes("bun:ffi")).map(
      (path) => path.split("/")[0],
    );
    expect(folders.filter((folder) => folder !== "server" && folder !== "bench")).toEqual([]);
    expect(folders.length).toBe(new Set(folders).size);
  });
});

describe("code", () => {
  test("there is no `any`, no default export, no enum", () => {
    const isBad = (path: string): boolean => {
      const code = (texts.get(path) ?? "").replace(/\/\*[\s\S]*?\*\/|\/\/.*|`[^`]*`|"[^"\n]*"/g, "");
      return /[:<]\s*any\b|\bas any\b|\bexport default\b|^\s*(export )?(const )?enum /m.test(code);
    };
    expect(offenders(isBad)).toEqual([]);
  });

  test("metric names follow spillway_<node>_<what>", () => {
    const names = sources
      .filter((path) => path.endsWith("/metrics.ts") && path !== "common/metrics.ts")
      .flatMap((path) =>
        [...(texts.get(path) ?? "").matchAll(/name: "([^"]+)"/g)].map((match) => [path, match[1] ?? ""]),
      );
    const bad = names.filter(([path, name]) => !name?.startsWith(`spillway_${path?.split("/")[0]}_`));
    expect(names.length).toBeGreaterThan(10);
    expect(bad).toEqual([]);
  });
});

describe("documents", () => {
  test("every series that README.md names is declared", async () => {
    const declared = sources
      .filter((path) => path.endsWith("metrics.ts"))
      .map((path) => texts.get(path) ?? "");
    const named = [...(await readText("README.md")).matchAll(/spillway_[a-z_]+/g)].map(([name]) => name);
    expect(named.length).toBeGreaterThan(15);
    expect(named.filter((name) => !declared.some((text) => text.includes(`"${name}"`)))).toEqual([]);
  });

  test("every file that ARCHITECTURE.md names exists", async () => {
    const text = await readText("ARCHITECTURE.md");
    const named = [...text.matchAll(/`((?:[a-z0-9.-]+\/)*[a-z0-9-]+\.(?:ts|sh|toml|json|html|css))`/g)].map(
      (m) => m[1] ?? "",
    );
    const missing = named.filter((name) => name.includes("/") && !files.includes(name));
    expect(named.length).toBeGreaterThan(20);
    expect(missing).toEqual([]);
  });
});
