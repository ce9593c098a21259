// The functions that tests run with Inngest's SDK for TypeScript, 4 and 3; `python_app.py` has the same.
// Each step writes a line to the file MARKS; a held one ends when a file of its id appears in GATES.
import fs from "node:fs";
import http from "node:http";
import { Inngest, NonRetriableError, RetryAfterError } from "inngest";
import { serve } from "inngest/node";

const { APP, GATES, MARKS, PORT } = process.env;
const inngest = new Inngest({ id: APP });
if (process.env.SDK_VERSION === "3") {
  // There the triggers are an argument of their own.
  const create = inngest.createFunction;
  inngest.createFunction = ({ triggers, ...options }, body) => create(options, triggers, body);
}
const mark = (what, id) => fs.appendFileSync(MARKS, JSON.stringify({ what, id }) + "\n");
const tries = new Map();

const report = inngest.createFunction(
  {
    id: "report",
    triggers: [{ event: "report/requested" }],
    cancelOn: [{ event: "report/cancelled", match: "data.reportId" }],
  },
  async ({ event, step }) => {
    const id = event.data.reportId;
    const loaded = await step.run("load", () => (mark("load", id), { pages: 2 }));
    await step.run("render", async () => {
      mark("render", id);
      while (event.data.hold && !fs.existsSync(`${GATES}/${id}`)) {
        await new Promise((done) => setTimeout(done, 50));
      }
    });
    await step.run("save", () => mark(`save ${loaded.pages}`, id));
  },
);

const cleanup = inngest.createFunction(
  {
    id: "cleanup",
    triggers: [{ event: "inngest/function.cancelled", if: `event.data.function_id == '${APP}-report'` }],
  },
  async ({ event, step }) => {
    await step.run("clean", () => mark(event.name, event.data.event.data.reportId));
  },
);

const reminder = inngest.createFunction(
  {
    id: "reminder",
    triggers: [{ event: "reminder/created" }],
    cancelOn: [{ event: "reminder/deleted", if: "event.data.id == async.data.id" }],
  },
  async ({ event, step }) => {
    await step.sleepUntil("until", event.data.at);
    await step.run("push", () => mark("push", event.data.id));
  },
);

const parallel = inngest.createFunction(
  { id: "parallel", triggers: [{ event: "parallel/requested" }] },
  async ({ event, step }) => {
    const { id } = event.data;
    const both = await Promise.all([
      step.run("left", () => (mark("left", id), "L")),
      step.run("right", () => (mark("right", id), "R")),
      step.sleep("nap", "1s"),
    ]);
    await step.run("join", () => mark(`joined ${both[0]}${both[1]}`, id));
  },
);

const flaky = inngest.createFunction(
  { id: "flaky", retries: 1, triggers: [{ event: "flaky/requested" }] },
  async ({ event, step }) => {
    const { id } = event.data;
    await step.run("second", () => {
      tries.set(id, (tries.get(id) ?? 0) + 1);
      mark(`try ${tries.get(id)}`, id);
      if (tries.get(id) < 2) throw new RetryAfterError("not yet", "1s");
    });
    const caught = await step
      .run("never", () => {
        throw new NonRetriableError("out of paper");
      })
      .catch((error) => error.message);
    await step.run("after", () => mark(`caught ${caught}`, id));
  },
);

const relay = inngest.createFunction(
  { id: "relay", triggers: [{ event: "relay/requested" }] },
  async ({ event, step }) => {
    await step.sendEvent("ask", { name: "report/requested", data: { reportId: event.data.id } });
  },
);

const doomed = inngest.createFunction(
  {
    id: "doomed",
    retries: 0,
    triggers: [{ event: "doomed/requested" }],
    onFailure: async ({ event, error }) => mark(`failed ${error.message}`, event.data.event.data.id),
  },
  async () => {
    throw new Error("as asked");
  },
);

const all = [report, cleanup, reminder, parallel, flaky, relay, doomed];
const functions = all.filter((one) => one.id() !== process.env.WITHOUT);
const handler = serve({ client: inngest, functions });
http
  .createServer((request, answer) => handler(request, answer))
  .listen(Number(PORT), "127.0.0.1", () => mark("up", ""));
