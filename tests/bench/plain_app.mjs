// An app that does nothing but answer, as Inngest's SDK does: each call tells one more step.
import http from "node:http";

const STEPS = Number(process.env.STEPS);
const url = `http://127.0.0.1:${process.env.PORT}/api/inngest`;
const stepper = {
  id: "plain-stepper",
  triggers: [{ event: "plain/stepper" }],
  steps: { step: { runtime: { type: "http", url: `${url}?fnId=plain-stepper&stepId=step` } } },
};
const sdk = { "x-inngest-sdk": "inngest-js:v4.24.0", "x-inngest-req-version": "2" };

function answer(request, text) {
  if (request.method === "PUT") {
    const found = { app_id: "plain", url, functions: [stepper] };
    return [200, { "x-inngest-sync-kind": "in_band" }, found];
  }
  if (request.method === "GET") return [200, {}, {}];
  const count = Object.keys(JSON.parse(text).steps).length;
  if (count === STEPS) return [200, {}, null];
  const id = String(count).padStart(40, "0");
  return [206, {}, [{ op: "StepRun", id, name: id, displayName: `empty ${count}`, data: null }]];
}

http
  .createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const [status, headers, body] = answer(request, text);
    response.writeHead(status, { ...sdk, ...headers, "content-type": "application/json" });
    response.end(JSON.stringify(body));
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
