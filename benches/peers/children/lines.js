// A consumer in protocol `lines`, as Node's documentation reads lines.

const readline = require("readline");

readline.createInterface({ input: process.stdin }).on("line", () => console.log("ack"));
