// Checks bodies with the TypeScript compiler and the types of @azure/arm-appcontainers.
//
// The SDK's types have the fields of ARM's `properties` next to `location` and `identity`, and its
// serializer moves them below `properties`. So a body is split in the same way, and each part is a literal, in
// which the compiler refuses unknown fields.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { isApp, isJob } from "./bodies.mjs";

const checked = fileURLToPath(new URL("node_modules/.azptend/", import.meta.url));

function source(arm) {
  const { properties, ...envelope } = arm;
  const type = isJob(arm) ? "Job" : isApp(arm) ? "ContainerApp" : "ManagedEnvironment";
  return `import type { ${type} } from "@azure/arm-appcontainers";\n`
    + `export default ${JSON.stringify({ ...envelope, ...properties }, null, 2)} satisfies ${type};\n`;
}

// apiVersion is the API that the types describe.
export const apiVersion = () => readFileSync(new URL("node_modules/@azure/arm-appcontainers/dist/esm/containerAppsAPIClient.js", import.meta.url), "utf8")
  .match(/apiVersion = options.apiVersion \|\| "([\d-]+)"/)[1];

// complaints maps each body's key to the compiler's messages about it.
export function complaints(bodies) {
  rmSync(checked, { recursive: true, force: true });
  mkdirSync(checked, { recursive: true });
  const files = Object.entries(bodies).map(([key, arm]) => {
    writeFileSync(`${checked}${key}.ts`, source(arm));
    return `${checked}${key}.ts`;
  });
  const program = ts.createProgram(files, {
    noEmit: true, strict: true, skipLibCheck: true, types: [],
    module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, target: ts.ScriptTarget.ES2022,
  });
  const found = Object.fromEntries(Object.keys(bodies).map((key) => [key, []]));
  for (const d of ts.getPreEmitDiagnostics(program)) {
    const message = ts.flattenDiagnosticMessageText(d.messageText, " ");
    if (!d.file || !(basename(d.file.fileName, ".ts") in found)) throw new Error(`${d.file?.fileName}: ${message}`);
    found[basename(d.file.fileName, ".ts")].push(message);
  }
  return found;
}
