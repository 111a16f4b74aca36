/** Options of the load scripts that hold several values with commas between them. */
import { list, ValueError } from "#common/options.ts";

/** Values with commas between them; the option may also be given several times. */
export function commaList<T>(about: {
  readonly description: string;
  readonly default: readonly T[];
  /** What the help says of it. */
  readonly defaultText?: string;
  readonly allowed: string;
  /** `undefined` for what is not allowed. */
  readonly read: (item: string) => T | undefined;
}) {
  const { description, allowed, read } = about;
  const defaultText = about.defaultText ?? about.default.join(",");
  return list<readonly T[]>(
    { table: "top", description, default: [about.default], defaultText },
    {
      allowed,
      valueName: "<list>",
      read: (value) =>
        value.split(",").map((item) => {
          const found = read(item.trim());
          if (found === undefined) throw new ValueError(allowed);
          return found;
        }),
    },
  );
}
