"""From configuration to checked, fingerprinted, frozen plans. Nothing here touches a scheduler."""
