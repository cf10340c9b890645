# Portcullis by Terraform or OpenTofu, with the Helm provider 3. docs/gitops.md says what has to be there first.
terraform {
  required_version = ">= 1.9"
  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "~> 3.1"
    }
  }
}

# The cluster's own admin credential, never one through Portcullis: Terraform would lose its way in while it replaces it.
variable "kubeconfig" {
  type        = string
  description = "Path of a kubeconfig that reaches the API server directly."
}

provider "helm" {
  kubernetes = {
    config_path = var.kubeconfig
  }
}

resource "helm_release" "portcullis" {
  name       = "portcullis"
  namespace  = "portcullis"
  repository = "oci://registry.example.com/charts"
  chart      = "portcullis"
  version    = "0.1.0"

  # No secret is in here, nor in Terraform's state: the values name Secrets that are in the cluster already.
  values = [file("${path.module}/values.yaml")]

  lint        = true
  wait        = true
  timeout     = 600
  max_history = 10

  # Without Portcullis no user reaches a cluster: a plan that would remove it is an error.
  lifecycle {
    prevent_destroy = true
  }
}
