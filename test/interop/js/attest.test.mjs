// Microsoft's JavaScript client, unmodified, against a running service. The
// environment names the service (PROBITY_URL) and a folder with evidence
// (PROBITY_EVIDENCE); NODE_EXTRA_CA_CERTS names the service's CA.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AttestationAdministrationClient, AttestationClient } from "@azure/attestation";

const url = process.env.PROBITY_URL;
const folder = process.env.PROBITY_EVIDENCE;
const read = (name) => readFileSync(join(folder, name));
const quote = read("quote.bin");
const report = read("report.bin");
const runtime = read("runtime.bin");
const kssQuote = read("quote-kss.bin");
const initTime = read("inittime.bin");

const credential = {
  async getToken(scopes) {
    assert.deepEqual([scopes].flat(), ["https://attest.azure.net/.default"]);
    return { token: process.env.PROBITY_ADMIN_TOKEN, expiresOnTimestamp: Date.now() + 3600_000 };
  },
};

/** A client that notes each request as it leaves. */
function recorded(Client, ...rest) {
  const requests = [];
  const policy = {
    name: "record",
    async sendRequest(request, next) {
      const u = new URL(request.url);
      requests.push({ line: `${request.method} ${u.pathname}`, version: u.searchParams.get("api-version"), body: request.body,
        accept: request.headers.get("Accept"), authorization: request.headers.get("Authorization") });
      return next(request);
    },
  };
  const client = new Client(url, ...rest, { additionalPolicies: [{ policy, position: "perRetry" }] });
  return { client, requests, lines: () => requests.map((r) => r.line) };
}

const decode = (part) => JSON.parse(Buffer.from(part, "base64url"));
const header = (token) => decode(token.serialize().split(".")[0]);

test("SGX with JSON runtime data", async () => {
  const { client } = recorded(AttestationClient);
  const { body: value, token } = await client.attestSgxEnclave(quote, { runTimeJson: runtime });
  assert.deepEqual(value.runTimeClaims ?? value.runtimeClaims, JSON.parse(runtime));
  assert.equal(value.enclaveHeldData?.length ?? 0, 0);
  assert.equal(value.verifierType, "sgx");
  assert.equal(value.isDebuggable, false);
  assert.equal(value.productId, 7);
  assert.equal(value.svn, 3);
  assert.equal(value.issuer, url);
  assert.equal(value.version, "1.0");
  assert.match(value.uniqueId, /^[0-9a-f]{64}$/);
  assert.equal(value.sgxCollateral.quotehash, createHash("sha256").update(quote).digest("hex"));
  assert.equal(token.issuer, url);
  assert.ok(token.keyId);
});

test("SGX with Binary runtime data", async () => {
  const { client } = recorded(AttestationClient);
  const { body: value } = await client.attestSgxEnclave(quote, { runTimeData: runtime });
  assert.deepEqual(Buffer.from(value.enclaveHeldData), runtime);
  assert.equal(value.runTimeClaims, undefined);
});

test("SGX without runtime data still returns the report data", async () => {
  const { client } = recorded(AttestationClient);
  const { token } = await client.attestSgxEnclave(quote);
  const claims = decode(token.serialize().split(".")[1]);
  assert.equal(claims["x-ms-sgx-report-data"].slice(0, 64), createHash("sha256").update(runtime).digest("hex"));
  assert.equal(claims["x-ms-runtime"], undefined);
});

test("Open Enclave with JSON and with Binary runtime data", async () => {
  const { client } = recorded(AttestationClient);
  const json = await client.attestOpenEnclave(report, { runTimeJson: runtime });
  assert.deepEqual(json.body.runTimeClaims, JSON.parse(runtime));
  assert.equal(json.body.sgxCollateral.quotehash, createHash("sha256").update(quote).digest("hex"), "the hash leaves the header out");
  const binary = await client.attestOpenEnclave(report, { runTimeData: runtime });
  assert.deepEqual(Buffer.from(binary.body.enclaveHeldData), runtime);
});

test("init-time data are bound by CONFIGID", async () => {
  const { client } = recorded(AttestationClient);
  const { body: value } = await client.attestSgxEnclave(kssQuote, { initTimeJson: initTime });
  assert.deepEqual(value.initTimeClaims ?? value.inittimeClaims, JSON.parse(initTime));
  await assert.rejects(client.attestSgxEnclave(quote, { initTimeJson: initTime }), { code: "InvalidParameter" });
});

test("draft policy gives an unsecured token with what the draft issues", async () => {
  const { client } = recorded(AttestationClient);
  const { token } = await client.attestSgxEnclave(quote, {
    draftPolicyForAttestation: 'version=1.0; authorizationrules{=> permit();}; issuancerules{=> issue(type="greg", value="yes");};',
  });
  assert.equal(header(token).alg, "none");
  assert.equal(token.serialize().split(".")[2], "");
  const claims = decode(token.serialize().split(".")[1]);
  assert.equal(claims.greg, "yes");
  for (const name of ["iss", "iat", "nbf", "exp"]) assert.ok(claims[name], name);
});

test("draft policy that denies is PolicyEvaluationError, one that does not parse PolicyParsingError", async () => {
  const { client } = recorded(AttestationClient);
  await assert.rejects(client.attestSgxEnclave(quote, { draftPolicyForAttestation: "version=1.0; authorizationrules{=> deny();};" }),
    { statusCode: 400, code: "PolicyEvaluationError" });
  await assert.rejects(client.attestSgxEnclave(quote, { draftPolicyForAttestation: "version=1.0; authorizationrules{=> permit()};" }),
    { statusCode: 400, code: "PolicyParsingError" });
});

test("the first attestation fetches the signers, later ones of the same client do not", async () => {
  const r = recorded(AttestationClient);
  await r.client.attestSgxEnclave(quote);
  assert.deepEqual(r.lines(), ["POST /attest/SgxEnclave", "GET /certs"]);
  await r.client.attestSgxEnclave(quote);
  assert.deepEqual(r.lines().slice(2), ["POST /attest/SgxEnclave"]);
});

test("the client's own api-version, and none on metadata and keys", async () => {
  const r = recorded(AttestationClient);
  await r.client.attestSgxEnclave(quote);
  await r.client.getOpenIdMetadata();
  assert.deepEqual(r.requests.map((q) => q.version), ["2020-10-01", null, null]);
});

test("binary travels as base64url without padding, the data type JSON in capitals", async () => {
  const r = recorded(AttestationClient);
  await r.client.attestSgxEnclave(quote, { runTimeJson: runtime });
  const body = JSON.parse(r.requests[0].body);
  assert.equal(body.quote, quote.toString("base64url"));
  assert.equal(body.runtimeData.dataType, "JSON");
});

test("keys are asked for as application/jwk+json and answered as application/json", async () => {
  const r = recorded(AttestationClient);
  const signers = await r.client.getAttestationSigners();
  assert.equal(r.requests[0].accept, "application/jwk+json, application/json");
  assert.ok(signers.length >= 1);
  for (const s of signers) {
    assert.ok(s.keyId);
    assert.match(s.certificates[0], /BEGIN CERTIFICATE/);
  }
});

test("the token's kid names a key with its certificate", async () => {
  const { client } = recorded(AttestationClient);
  const { token } = await client.attestSgxEnclave(quote);
  const { keys } = await (await fetch(`${url}/certs`)).json();
  const key = keys.find((k) => k.kid === header(token).kid);
  assert.equal(key.kty, "RSA");
  assert.equal(key.x5c.length, 1);
  assert.deepEqual(Object.keys(header(token)), ["alg", "jku", "kid", "typ"]);
  assert.equal(header(token).jku, `${url}/certs`);
});

test("nbf is not ahead of a client without slack", async () => {
  const { client } = recorded(AttestationClient);
  const { token } = await client.attestSgxEnclave(quote);
  const { nbf, iat, exp } = decode(token.serialize().split(".")[1]);
  assert.ok(nbf * 1000 < Date.now());
  assert.equal(nbf, iat);
  assert.equal(exp - iat, 28800);
});

test("the client's checks of issuer and signature pass", async () => {
  const { client } = recorded(AttestationClient);
  const { token } = await client.attestSgxEnclave(quote, {
    validationOptions: { validateIssuer: true, expectedIssuer: url, validateToken: true },
  });
  assert.equal(token.getTokenProblems(await client.getAttestationSigners(), { validateIssuer: true, expectedIssuer: url }).length, 0);
});

test("metadata name the issuer without a slash, and its keys", async () => {
  const { client } = recorded(AttestationClient);
  const metadata = await client.getOpenIdMetadata();
  assert.equal(metadata.issuer, url);
  assert.equal(metadata.jwks_uri ?? metadata.jwksUri, `${url}/certs`);
  const raw = await (await fetch(`${url}/.well-known/openid-configuration`)).json();
  assert.deepEqual(raw.response_types_supported, ["token", "none"]);
  assert.deepEqual(raw.id_token_signing_alg_values_supported, ["RS256"]);
});

test("get policy: a token whose x-ms-policy is the policy as a JWS", async () => {
  const r = recorded(AttestationAdministrationClient, credential);
  for (const type of ["SgxEnclave", "OpenEnclave", "SevSnpVm", "TdxVm"]) {
    const { body: value, token } = await r.client.getPolicy(type);
    assert.match(value, /^version/, type);
    const inner = decode(token.serialize().split(".")[1])["x-ms-policy"].split(".");
    assert.deepEqual(decode(inner[0]), { alg: "none" });
    assert.equal(inner[2], "");
  }
  assert.deepEqual(r.lines().slice(0, 2), ["GET /policies/SgxEnclave", "GET /certs"]);
  assert.match(r.requests[0].authorization, /^Bearer /, "a credential is sent along, and harmless");
});

test("the policy hash is that of the policy in force", async () => {
  const admin = recorded(AttestationAdministrationClient, credential).client;
  const { body: value } = await admin.getPolicy("SgxEnclave");
  const inner = Buffer.from(value).toString("base64url");
  const hash = createHash("sha256").update(inner).digest("base64url");
  const { body: result } = await recorded(AttestationClient).client.attestSgxEnclave(quote);
  assert.equal(Buffer.from(result.policyHash).toString("base64url"), hash);
});

test("an error arrives with code, status and message, and our details", async () => {
  const { client } = recorded(AttestationClient);
  const bad = Buffer.from(quote);
  bad[200] ^= 1;
  await assert.rejects(client.attestSgxEnclave(bad), (err) => {
    assert.equal(err.name, "RestError");
    assert.equal(err.statusCode, 400);
    assert.equal(err.code, "InvalidParameter");
    assert.match(err.message, /dcap\.quote\.signature/);
    return true;
  });
  const response = await fetch(`${url}/attest/SgxEnclave?api-version=2020-10-01`, {
    method: "POST", body: JSON.stringify({ quote: bad.toString("base64url") }),
  });
  const { error } = await response.json();
  assert.equal(error.details[0].check, "dcap.quote.signature");
  assert.ok(error.details[0].expected && error.details[0].found && error.details[0].remedy);
});

const post = async (path, body) => {
  const response = await fetch(`${url}${path}`, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });
  return { status: response.status, body: await response.json(), headers: response.headers };
};

test("nonce: a string comes back as a string, a number as a number", async () => {
  for (const nonce of ["abc", 18446744073709551615n]) {
    const { status, body } = await post("/attest/SgxEnclave?api-version=2022-08-01",
      `{"quote":"${quote.toString("base64url")}","nonce":${typeof nonce === "string" ? `"${nonce}"` : nonce}}`);
    assert.equal(status, 200);
    const payload = Buffer.from(body.token.split(".")[1], "base64url").toString();
    assert.ok(payload.includes(typeof nonce === "string" ? `"nonce":"abc"` : `"nonce":18446744073709551615`), payload);
  }
});

test("routes, types and member names are compared without case", async () => {
  const { status } = await post("/Attest/sgxenclave?api-version=2022-08-01",
    { QUOTE: quote.toString("base64url"), RunTimeData: { DATA: runtime.toString("base64url"), datatype: "json" } });
  assert.equal(status, 200);
});

test("both base64 alphabets, padded or not", async () => {
  for (const text of [quote.toString("base64"), quote.toString("base64url"), quote.toString("base64url") + "=".repeat((4 - (quote.toString("base64url").length % 4)) % 4)]) {
    const { status } = await post("/attest/SgxEnclave?api-version=2022-08-01", { quote: text });
    assert.equal(status, 200);
  }
});

test("empty init-time data are treated as absent, as the container side-car sends them", async () => {
  const { status } = await post("/attest/SgxEnclave?api-version=2022-08-01",
    { quote: quote.toString("base64url"), initTimeData: { data: "", dataType: "" } });
  assert.equal(status, 200);
});

test("every api-version is spoken", async () => {
  for (const version of ["2020-10-01", "2022-08-01", "2022-09-01", "2022-09-01-preview", "2023-04-01-preview", "2025-06-01", "2026-03-11-preview"]) {
    const { status } = await post(`/attest/SgxEnclave?api-version=${version}`, { quote: quote.toString("base64url") });
    assert.equal(status, 200, version);
  }
  assert.equal((await post("/attest/SgxEnclave", { quote: "" })).status, 400);
  assert.equal((await post("/attest/SgxEnclave?api-version=1999-01-01", { quote: "" })).status, 400);
});

test("the first preview's names and its bare answer", async () => {
  const { status, body } = await post("/attest/Tee/OpenEnclave?api-version=2018-09-01-preview",
    { Quote: report.toString("base64url"), EnclaveHeldData: runtime.toString("base64url") });
  assert.equal(status, 200);
  assert.equal(typeof body, "string");
});

test("request id: the service's own, and a new one each time", async () => {
  const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const id = async () => (await fetch(`${url}/certs`, { headers: { traceparent: trace } })).headers.get("x-ms-request-id");
  const first = await id();
  assert.match(first, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  assert.notEqual(first, trace, "a client cannot choose the id of a ledger entry");
  assert.notEqual(await id(), first);
});

test("TPM: the first round of the protocol", async () => {
  const { AttestationClient: Client } = await import("@azure/attestation");
  const client = new Client(url, { credentials: credential });
  const answer = await client.attestTpm(JSON.stringify({ payload: { type: "aikcert" } }));
  const { payload } = JSON.parse(answer);
  assert.equal(Buffer.from(payload.challenge, "base64url").length, 16);
  assert.ok(payload.service_context.length > 100);
});
