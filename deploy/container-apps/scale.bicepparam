// The values of scale.bicep: those of parameters.env, and no secret. For `az deployment group create -p scale.bicepparam`.
using 'scale.bicep'

param environmentId = '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/agents/providers/Microsoft.App/managedEnvironments/agents'
param identityId = '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/agents/providers/Microsoft.ManagedIdentity/userAssignedIdentities/agents'
param identityObjectId = '11111111-1111-4111-8111-111111111111'
param registry = 'yourregistry.azurecr.io'
param image = 'yourregistry.azurecr.io/azptend-agent:1'
param keepImage = 'yourregistry.azurecr.io/azptend-keep:1'
param azpUrl = 'https://dev.azure.com/your-organisation'
param azpPool = 'your-pool'
param group = 'linux'
param keepUrl = 'https://azptend-keep.example.westeurope.azurecontainerapps.io'
// The deployment reads the tokens from Key Vault, so that they are in no file and in no shell's history. The vault needs
// enabledForTemplateDeployment.
param keepToken = az.getSecret('00000000-0000-0000-0000-000000000000', 'agents', 'yourvault', 'keep-token')
param scaleToken = az.getSecret('00000000-0000-0000-0000-000000000000', 'agents', 'yourvault', 'scale-token')
