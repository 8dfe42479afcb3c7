"""cemrad: radiomics and deep features of contrast-enhanced mammography, fused and explained.

Research use only, not a medical device. Start with ``cemrad demo`` or
:mod:`cemrad.pipeline`.
"""
