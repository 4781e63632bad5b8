// Parses each Mermaid drawing of the pages that are named, as a forge does before it draws it. Each
// that cannot be parsed is named with its page and line, and the exit code is then 1.
import { readFileSync } from 'node:fs';
import { JSDOM } from 'jsdom';

globalThis.window = new JSDOM('<body></body>').window; // the parser asks for a browser's
globalThis.document = window.document;
const { default: mermaid } = await import('mermaid');

let drawings = 0;
for (const page of process.argv.slice(2)) {
  const text = readFileSync(page, 'utf8');
  for (const drawing of text.matchAll(/^```mermaid\n([^]*?)^```$/gm)) {
    drawings++;
    try {
      await mermaid.parse(drawing[1]);
    } catch (err) {
      const line = text.slice(0, drawing.index).split('\n').length;
      console.error(`${page}:${line}: ${err.message}`);
      process.exitCode = 1;
    }
  }
}
console.log(`${drawings} drawings`);
if (drawings === 0) {
  process.exitCode = 1;
}
