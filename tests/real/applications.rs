//! Applications that know nothing of OpenID Connect, behind the gate as in the wild.
