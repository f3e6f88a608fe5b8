import type { Connection } from "@ai-token-vault/client";
import type { Strings } from "./strings.js";

const units: [unit: Intl.RelativeTimeFormatUnit, seconds: number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/** How long ago a time was, in a language. What is less than a minute ago is now: it is not known more exactly. */
export function ago(time: string, language: string, now = Date.now()): string {
  const seconds = Math.max(0, now - Date.parse(time)) / 1000;
  const [unit, length] = units.find((u) => seconds >= u[1]) ?? ["second", Number.POSITIVE_INFINITY];
  return new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(
    -Math.floor(seconds / length),
    unit,
  );
}

/** Says when a connection was used last and by which agent, or nothing if it never was. */
export function lastUsed(
  { lastUsedAt, lastUsedBy }: Connection,
  t: (key: keyof Strings, values?: Record<string, string>) => string,
): string | undefined {
  if (!lastUsedAt) return undefined;
  const when = ago(lastUsedAt, t("language"));
  return lastUsedBy ? t("lastUsedBy", { agent: lastUsedBy, when }) : t("lastUsed", { when });
}
