"""Microsoft's Python clients create providers through the resource manager and
manage policies and certificates of both trust models."""

import os
import time
import unittest

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.attestation import AttestationManagementClient
from azure.security.attestation import (
    AttestationAdministrationClient,
    AttestationType,
    CertificateModification,
    PolicyModification,
)

URL = os.environ["PROBITY_URL"]
FOLDER = os.environ["PROBITY_EVIDENCE"]
PERMIT = "version=1.0; authorizationrules{=> permit();};"


class Credential:
    def get_token(self, *scopes, **kwargs):
        return AccessToken(os.environ["PROBITY_ADMIN_TOKEN"], int(time.time()) + 3600)


def text(name):
    with open(os.path.join(FOLDER, name), encoding="ascii") as f:
        return f.read()


def x5c(name):
    return "".join(line for line in text(name).splitlines() if "-----" not in line)


class Providers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.arm = AttestationManagementClient(Credential(), "sub", base_url=URL, credential_scopes=[URL + "/.default"])
        cls.aad = cls.arm.attestation_providers.create("group", "aadpy", {"location": "westus", "properties": {}})
        cls.isolated = cls.arm.attestation_providers.create(
            "group",
            "isolatedpy",
            {"location": "westus", "properties": {"policySigningCertificates": {"keys": [{"kty": "RSA", "use": "sig", "x5c": [x5c("rsa-cert.pem")]}]}}},
        )

    @classmethod
    def tearDownClass(cls):
        for name in ("aadpy", "isolatedpy"):
            cls.arm.attestation_providers.delete("group", name)

    def test_resource_manager(self):
        self.assertEqual((self.aad.trust_model, self.isolated.trust_model), ("AAD", "Isolated"))
        self.assertEqual(self.aad.attest_uri, URL + "/p/aadpy")
        got = self.arm.attestation_providers.update("group", "aadpy", {"tags": {"team": "a"}})
        self.assertEqual(got.tags, {"team": "a"})
        self.assertEqual(sorted(p.name for p in self.arm.attestation_providers.list().value), ["aadpy", "isolatedpy"])
        self.assertEqual(len(self.arm.attestation_providers.list_by_resource_group("group").value), 2)
        self.assertEqual(self.arm.attestation_providers.get_default_by_location("West Europe").name, "sharedweu")
        with self.assertRaises(ResourceNotFoundError):
            self.arm.attestation_providers.get("group", "unknown")

    def test_aad(self):
        with AttestationAdministrationClient(self.aad.attest_uri, Credential()) as admin:
            result, _ = admin.set_policy(AttestationType.SGX_ENCLAVE, PERMIT)
            self.assertEqual(result.policy_resolution, PolicyModification.UPDATED)
            self.assertEqual(admin.get_policy(AttestationType.SGX_ENCLAVE)[0], PERMIT)
            self.assertEqual(admin.get_policy_management_certificates()[0], [])

    def test_isolated(self):
        keys = {"signing_key": text("rsa-key.pem"), "signing_certificate": text("rsa-cert.pem")}
        with AttestationAdministrationClient(self.isolated.attest_uri, Credential()) as admin:
            with self.assertRaises(HttpResponseError) as refused:
                admin.set_policy(AttestationType.SGX_ENCLAVE, PERMIT)
            self.assertEqual(refused.exception.status_code, 400)
            admin.set_policy(AttestationType.SGX_ENCLAVE, PERMIT, **keys)
            result, _ = admin.add_policy_management_certificate(text("ec-cert.pem"), **keys)
            self.assertEqual(result.certificate_resolution, CertificateModification.IS_PRESENT)
            self.assertEqual(len(admin.get_policy_management_certificates()[0]), 2)
            # This client cannot sign with EC keys; the JavaScript one does.
            result, _ = admin.remove_policy_management_certificate(text("ec-cert.pem"), **keys)
            self.assertEqual(result.certificate_resolution, CertificateModification.IS_ABSENT)
            admin.reset_policy(AttestationType.SGX_ENCLAVE, **keys)


if __name__ == "__main__":
    unittest.main()
