// Two functions as they are written for Inngest; nothing in here is of Countermand.
import http from "node:http";
import { Inngest } from "inngest";
import { serve } from "inngest/node";

const inngest = new Inngest({ id: "reports" });
const reports = new Map();
const wait = (seconds) => new Promise((done) => setTimeout(done, 1_000 * seconds));

const generate = inngest.createFunction(
  {
    id: "generate",
    triggers: [{ event: "report/generation.requested" }],
    cancelOn: [{ event: "report/generation.cancelled", match: "data.reportId" }],
  },
  async ({ event, step }) => {
    const { reportId } = event.data;
    await step.run("mark as running", () => set(reportId, "running"));
    for (let page = 1; page <= 20; page++) {
      await step.run(`render page ${page}`, async () => {
        await wait(1);
        return set(reportId, `page ${page} of 20`);
      });
    }
    await step.run("mark as done", () => set(reportId, "done"));
  },
);

const cleanUp = inngest.createFunction(
  {
    id: "clean-up",
    triggers: [
      { event: "inngest/function.cancelled", if: "event.data.function_id == 'reports-generate'" },
    ],
  },
  async ({ event, step }) => {
    await step.run("mark as cancelled", () => set(event.data.event.data.reportId, "cancelled"));
  },
);

function set(reportId, status) {
  reports.set(reportId, status);
  console.log(`${reportId}: ${status}`);
  return status;
}

const handler = serve({ client: inngest, functions: [generate, cleanUp] });
const port = Number(process.env.PORT ?? 3000);
http.createServer((request, answer) => handler(request, answer)).listen(port, "127.0.0.1");
