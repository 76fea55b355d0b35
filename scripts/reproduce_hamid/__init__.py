"""The study of Hamid et al. 2019 repeated with pvensemble; run by ``scripts/reproduce-hamid``."""
