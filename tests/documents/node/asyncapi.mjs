// Holds AsyncAPI documents against @asyncapi/parser: prints each finding, and fails unless all are mere hints.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const HINT = 2; // of the parser's severities, 0 is an error, 1 a warning
let failed = false;
for (const path of process.argv.slice(2)) {
  const { document, diagnostics } = await new Parser().parse(readFileSync(path, "utf8"));
  for (const { severity, code, path: where, message } of diagnostics) {
    console.log(`${path}: ${severity} ${code} at ${where.join(".")}: ${message}`);
    failed ||= severity < HINT;
  }
  failed ||= document === undefined;
}
process.exit(failed ? 1 : 0);
