// What `tests.bench.inngest` measures of Inngest's SDK: `sdk_app.py` has the same functions.
import http from "node:http";
import { Inngest } from "inngest";
import { serve } from "inngest/node";

const STEPS = Number(process.env.STEPS);
const inngest = new Inngest({ id: "sdk" });

const stepper = inngest.createFunction(
  { id: "stepper", triggers: [{ event: "sdk/stepper" }] },
  async ({ step }) => {
    for (let count = 0; count < STEPS; count++) await step.run(`empty ${count}`, () => null);
  },
);
const sleeper = inngest.createFunction(
  {
    id: "sleeper",
    triggers: [{ event: "sdk/sleeper" }],
    cancelOn: [{ event: "sdk/cancelled", match: "data.number" }],
  },
  async ({ event, step }) => {
    await step.sleep("long", event.data.sleep);
  },
);

const handler = serve({ client: inngest, functions: [stepper, sleeper] });
http
  .createServer((request, answer) => handler(request, answer))
  .listen(Number(process.env.PORT), "127.0.0.1");
