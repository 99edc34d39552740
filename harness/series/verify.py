# SPDX-License-Identifier: GPL-2.0
"""Today's checks of patches/ by way of the interface to come; to be replaced by that."""

CHECKS = (("composing again gives the committed bytes", lambda composed: composed.old.check_generated()),
          ("the pre-images are in the base", lambda composed: composed.old.check_preimages()),
          ("git am gives the recorded trees", lambda composed: composed.old.check_am()),
          ("patch --fuzz=0 gives the same files", lambda composed: composed.old.check_patch()))
