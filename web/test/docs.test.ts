// The code in docs/typescript.md compiles against the packages as they are.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const web = fileURLToPath(new URL("..", import.meta.url));

/** What the examples call yours. */
const yours = `
declare module "@/session" {
  export function currentUser(): Promise<{ id: string } | null>;
  export function userOf(request: Request): Promise<{ id: string } | null>;
}
declare module "@/agent" {
  export const agent: import("@mastra/core/agent").Agent;
}
declare module "*.css";
declare const process: { env: Record<string, string | undefined> };
`;

test("the code in the documents compiles", () => {
  const text = readFileSync(path.join(web, "../docs/typescript.md"), "utf8");
  const blocks = [...text.matchAll(/^```(tsx?)\n([\s\S]*?)^```$/gm)];
  expect(blocks.length).toBeGreaterThan(5);
  mkdirSync(path.join(web, ".cache"), { recursive: true });
  const folder = mkdtempSync(path.join(web, ".cache/docs-"));
  try {
    for (const [n, [, kind, code]] of blocks.entries())
      writeFileSync(path.join(folder, `${n}.${kind}`), code ?? "");
    writeFileSync(path.join(folder, "yours.d.ts"), yours);
    const sources = (name: string) => [path.join(web, "packages", name, "src/index.ts")];
    const config = {
      extends: path.join(web, "tsconfig.base.json"),
      compilerOptions: {
        composite: false,
        declaration: false,
        noEmit: true,
        jsx: "react-jsx",
        paths: {
          "@ai-token-vault/client": sources("client"),
          "@ai-token-vault/react": sources("react"),
          "@ai-token-vault/next": sources("next"),
          "@ai-token-vault/mastra": sources("mastra"),
        },
        types: ["node"],
        typeRoots: [path.join(web, "node_modules/@types")],
      },
      include: ["."],
    };
    writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify(config));
    execFileSync("npx", ["--no-install", "tsc", "--project", folder], { cwd: web, encoding: "utf8" });
  } catch (error) {
    throw new Error((error as { stdout?: string }).stdout || String(error));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 0); // the compiler ends by itself
