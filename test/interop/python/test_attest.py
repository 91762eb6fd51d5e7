"""Microsoft's Python client, unmodified, against a running service.

The environment names the service (PROBITY_URL), a folder with evidence
(PROBITY_EVIDENCE) and the service's CA (REQUESTS_CA_BUNDLE).
"""

import base64
import hashlib
import json
import os
import pathlib
import time
import unittest

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.security.attestation import AttestationAdministrationClient, AttestationClient, AttestationType

URL = os.environ["PROBITY_URL"]
FOLDER = pathlib.Path(os.environ["PROBITY_EVIDENCE"])
QUOTE = (FOLDER / "quote.bin").read_bytes()
REPORT = (FOLDER / "report.bin").read_bytes()
RUNTIME = (FOLDER / "runtime.bin").read_bytes()


class Credential:
    """The administrator's bearer token, in the form that Azure's clients take."""

    def get_token(self, *scopes, **_):
        assert scopes == ("https://attest.azure.net/.default",), scopes
        return AccessToken(os.environ["PROBITY_ADMIN_TOKEN"], int(time.time()) + 3600)


class Attest(unittest.TestCase):
    def setUp(self):
        self.client = AttestationClient(URL, Credential(), validate_issuer=True, issuer=URL)

    def test_sgx_with_json_runtime_data(self):
        result, token = self.client.attest_sgx_enclave(QUOTE, runtime_json=RUNTIME)
        self.assertEqual(result.runtime_claims, json.loads(RUNTIME))
        self.assertIsNone(result.enclave_held_data)
        self.assertEqual(result.issuer, URL)
        self.assertEqual(result.svn, 3)
        self.assertFalse(result.is_debuggable)
        self.assertEqual(token.algorithm, "RS256")

    def test_sgx_with_binary_runtime_data(self):
        result, _ = self.client.attest_sgx_enclave(QUOTE, runtime_data=RUNTIME)
        self.assertEqual(bytes(result.enclave_held_data), RUNTIME)
        self.assertIsNone(result.runtime_claims)

    def test_open_enclave(self):
        result, _ = self.client.attest_open_enclave(REPORT, runtime_json=RUNTIME)
        self.assertEqual(result.runtime_claims, json.loads(RUNTIME))
        self.assertEqual(result.sgx_collateral["quotehash"], hashlib.sha256(QUOTE).hexdigest())

    def test_first_round_of_the_tpm_protocol(self):
        answer = json.loads(self.client.attest_tpm(json.dumps({"payload": {"type": "aikcert"}})))
        challenge = answer["payload"]["challenge"]
        self.assertEqual(len(base64.urlsafe_b64decode(challenge + "==")), 16)
        self.assertGreater(len(answer["payload"]["service_context"]), 100)

    def test_init_time_json_that_this_client_leaves_out_counts_as_absent(self):
        result, _ = self.client.attest_sgx_enclave(QUOTE, inittime_json=b"{}")
        self.assertIsNone(result.inittime_claims)

    def test_draft_policy_gives_an_unsecured_token(self):
        draft = 'version=1.0; authorizationrules{=> permit();}; issuancerules{=> issue(type="greg", value=7);};'
        _, token = self.client.attest_sgx_enclave(QUOTE, draft_policy=draft)
        self.assertEqual(token.algorithm, "none")
        payload = token.to_jwt_string().split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        self.assertEqual(claims["greg"], 7)

    def test_a_deny_wins_whatever_the_order(self):
        draft = "version=1.0; authorizationrules{=> deny(); => permit();};"
        with self.assertRaises(HttpResponseError) as raised:
            self.client.attest_sgx_enclave(QUOTE, draft_policy=draft)
        self.assertEqual(raised.exception.status_code, 400)
        self.assertEqual(raised.exception.error.code, "PolicyEvaluationError")

    def test_other_runtime_data_are_refused(self):
        with self.assertRaises(HttpResponseError) as raised:
            self.client.attest_sgx_enclave(QUOTE, runtime_data=RUNTIME + b"\0")
        self.assertEqual(raised.exception.error.code, "InvalidParameter")
        self.assertIn("sgx.report-data.runtime-data", str(raised.exception))

    def test_signers_and_metadata(self):
        signers = self.client.get_signing_certificates()
        self.assertTrue(signers and all(s.key_id and s.certificates for s in signers))
        metadata = self.client.get_open_id_metadata()
        self.assertEqual(metadata["issuer"], URL)
        self.assertEqual(metadata["jwks_uri"], URL + "/certs")


class Policy(unittest.TestCase):
    def test_get_policy(self):
        client = AttestationAdministrationClient(URL, Credential())
        for kind in (AttestationType.SGX_ENCLAVE, AttestationType.OPEN_ENCLAVE):
            policy, token = client.get_policy(kind)
            self.assertTrue(policy.startswith("version"), policy)
            self.assertEqual(token.issuer, URL)

    def test_set_and_reset(self):
        client = AttestationAdministrationClient(URL, Credential())
        text = 'version= 1.0; authorizationrules{=> permit();}; issuancerules{=> issue(type="mine", value=1);};'
        # Not with an EC key: this client calls its own cryptography library wrongly for those.
        for key, cert in ((None, None), ("rsa-key.pem", "rsa-cert.pem")):
            signing = {}
            if key:
                signing = {"signing_key": (FOLDER / key).read_text(), "signing_certificate": (FOLDER / cert).read_text()}
            result, _ = client.set_policy(AttestationType.OPEN_ENCLAVE, text, **signing)
            self.assertEqual(result.policy_resolution, "Updated")
            self.assertEqual(result.policy_signer is not None, key is not None)
            self.assertEqual(client.get_policy(AttestationType.OPEN_ENCLAVE)[0], text)
            result, _ = client.reset_policy(AttestationType.OPEN_ENCLAVE)
            self.assertEqual(result.policy_resolution, "Removed")
            self.assertTrue(client.get_policy(AttestationType.OPEN_ENCLAVE)[0].startswith("version= 1.1;"))

    def test_a_policy_that_does_not_parse(self):
        client = AttestationAdministrationClient(URL, Credential())
        with self.assertRaises(HttpResponseError) as raised:
            client.set_policy(AttestationType.OPEN_ENCLAVE, "version= 1.0;")
        self.assertEqual(raised.exception.error.code, "PolicyParsingError")


if __name__ == "__main__":
    unittest.main()
