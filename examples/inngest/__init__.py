"""An app of Inngest's SDK for TypeScript on Countermand: `make example APP=inngest`."""
